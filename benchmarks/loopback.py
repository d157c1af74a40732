"""One HTTP/1.1 connection to a server on this machine, read as cheaply as can be: for latencies, not for checking."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.failures import WrongAnswer

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """A response's status, head (from the status line to the empty line) and body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's value, its name in any case."""
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


def get_request(path: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a GET request."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """A connection that is kept open; one request at a time. Closed by leaving the `with` block."""

    def __init__(self, port: int, headers: Mapping[str, str], timeout_s: float = 30.0) -> None:
        self._headers = headers
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> Answer:
        """Raises WrongAnswer where the answer does not tell its length, OSError where the connection breaks."""
        self._socket.sendall(get_request(path, self._headers))
        received = b""
        while (end := received.find(HEAD_END)) < 0:
            received += self._receive()
        head = received[:end]
        answer = Answer(int(head[9:12]), head, b"")
        length = answer.header("Content-Length")
        if length is None:
            raise WrongAnswer(f"{path}: an answer without Content-Length")
        body = bytearray(received[end + len(HEAD_END) :])
        while len(body) < int(length):
            body += self._receive()
        return Answer(answer.status, head, bytes(body))

    def _receive(self) -> bytes:
        if chunk := self._socket.recv(262_144):
            return chunk
        raise ConnectionResetError("the server closed the connection in the middle of an answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
