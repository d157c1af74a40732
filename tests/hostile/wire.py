"""Bytes to a served process, and its answers taken apart without any leniency."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tests.taskmanager.raw_http import everything

HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"
JSON = b"Content-Type: application/json\r\n"

# In every hostile request: what a client sends must be found in no answer, no log line and no metric.
CANARY = "c4n4ry4711"
CANARY_BYTES = CANARY.encode()

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [A-Za-z' -]+", re.ASCII)
_HEADER_LINE = re.compile(rb"([a-z0-9-]+): ?([\x20-\x7e]*)")


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire. Names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Its value; a header that stands there twice is an error of this service."""
        found = [value for header, value in self.headers if header == name]
        assert len(found) <= 1, self.headers
        return found[0] if found else None


def answers_in(stream: bytes, *, head: bool = False) -> list[Answer]:
    """Every answer of a stream, which must hold nothing else.

    Parameters
    ----------
    head: the answers are to HEAD, and have no bodies.
    """
    answers = []
    while stream:
        lines, separator, stream = stream.partition(b"\r\n\r\n")
        assert separator, f"a head without end: {lines!r}"
        status_line, *header_lines = lines.split(b"\r\n")
        told = _STATUS_LINE.fullmatch(status_line)
        assert told, status_line
        headers = []
        for line in header_lines:
            header = _HEADER_LINE.fullmatch(line)
            assert header, line
            headers.append((header[1].decode(), header[2].decode()))
        status = int(told[1])
        lengths = [int(value) for name, value in headers if name == "content-length"]
        assert len(lengths) <= 1, headers
        length = 0 if head or status < 200 or status in (204, 304) else lengths[0]
        body, stream = stream[:length], stream[length:]
        assert len(body) == length, f"{length} bytes were announced, and {len(body)} came"
        answers.append(Answer(status, tuple(headers), body))
    return answers


def converse(port: int, *pieces: bytes, pause_s: float = 0.0, within_s: float = 15.0, end: bool = False) -> bytes:
    """Send, and return what comes until the server closes.

    Parameters
    ----------
    pieces: sent one after the other, with `pause_s` between them; the server may refuse before the last one.
    end: close this side once all is sent.

    Raises
    ------
    TimeoutError: the server neither answers nor closes.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        try:
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(pause_s)
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused before all was sent; what it said is still there to be read
        return everything(connection, reset_ends=True)


def request(method: bytes, target: bytes, *headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """A request whose lines are as they are given, and which asks the server to close."""
    return b"".join([method, b" ", target, b" ", version, b"\r\n", HOST, CLOSE, *headers, b"\r\n", body])


def post(body: bytes, *headers: bytes, target: bytes = b"/tasks", method: bytes = b"POST") -> bytes:
    """A JSON body with its length."""
    return request(method, target, JSON, b"Content-Length: %d\r\n" % len(body), *headers, body=body)


def chunked(chunks: bytes, *headers: bytes, target: bytes = b"/tasks") -> bytes:
    """A JSON body in chunks, which are given as they go over the wire."""
    return request(b"POST", target, JSON, b"Transfer-Encoding: chunked\r\n", *headers, body=chunks)


def in_chunks(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
