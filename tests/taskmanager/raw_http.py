"""Bytes over a socket, for what an HTTP client would refuse to send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def connected(port: int, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        yield connection


def everything(connection: socket.socket, *, reset_ends: bool = False) -> bytes:
    """What comes until the server closes.

    Parameters
    ----------
    reset_ends: a server that closes with something of ours unread has closed too, and what it said before counts.
    """
    received = bytearray()
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        if not reset_ends:
            raise
    return bytes(received)


def exchange(port: int, data: bytes, within_s: float = 5.0) -> bytes:
    """Send `data` and read until the server closes; the requests sent must ask it to."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before it was read to its end; the answer may still be there
        return everything(connection, reset_ends=True)


def request(target: bytes, method: bytes = b"GET", headers: bytes = b"", body: bytes = b"") -> bytes:
    """A request as it goes over the wire, nothing of it checked."""
    return method + b" " + target + b" HTTP/1.1\r\nHost: service\r\nConnection: close\r\n" + headers + b"\r\n" + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
