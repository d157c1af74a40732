"""Bytes over a socket, for what an HTTP client would refuse to send."""

from __future__ import annotations

import socket


def exchange(port: int, data: bytes, within_s: float = 5.0) -> bytes:
    """Send `data` and read until the server closes; the requests sent must ask it to."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before it was read to its end; the answer may still be there
        answer = bytearray()
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return bytes(answer)


def request(target: bytes, method: bytes = b"GET", headers: bytes = b"", body: bytes = b"") -> bytes:
    """A request as it goes over the wire, nothing of it checked."""
    return method + b" " + target + b" HTTP/1.1\r\nHost: service\r\nConnection: close\r\n" + headers + b"\r\n" + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
