"""HTTP/1.1 as a client with kept connections speaks it, which tells exactly what became of a request.

A library would send a request again by itself where a kept connection turns out to be closed. That is what is to be
seen here, and for a POST it is what must not be done.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

# As a browser or a pool would: a connection that rested for longer is not used again. Less than what servers allow.
REST_SECONDS = 3.0


class NoAnswer(Exception):
    """What happened instead, in a few words that name neither address nor content."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    resting_since: float = 0.0


class Connections:
    """As many as requests are under way at once; `timeout` is in seconds for one request, `opened` counts them."""

    def __init__(self, host: str, port: int, key: str, timeout: float) -> None:
        self._address = host, port
        self._timeout = timeout
        self.opened = 0
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        self._headers = f"Host: {host}:{port}\r\n{authorization}"
        self._resting: list[_Connection] = []

    async def ask(self, method: str, path: str, body: dict[str, object] | None) -> Answer:
        """Sends one request, once. Raises NoAnswer."""
        connection: _Connection | None = None
        at = "connecting"
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connection()
                at = "sending"
                connection.writer.write(self._request(method, path, body))
                await connection.writer.drain()
                at = "waiting for the answer"
                status, content, keeps = await _read_answer(connection.reader, method)
        except TimeoutError:
            raise _ended(connection, f"no answer in {self._timeout:g} s, {at}") from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise _ended(connection, f"{type(error).__name__} {at}") from None
        if keeps:
            connection.resting_since = time.monotonic()
            self._resting.append(connection)
        else:
            connection.writer.close()
        return Answer(status, content)

    def close(self) -> None:
        for connection in self._resting:
            connection.writer.close()
        self._resting.clear()

    async def _connection(self) -> _Connection:
        while self._resting:
            connection = self._resting.pop()
            fresh = time.monotonic() - connection.resting_since < REST_SECONDS
            if fresh and not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        connection = _Connection(*await asyncio.open_connection(*self._address))
        self.opened += 1
        return connection

    def _request(self, method: str, path: str, body: dict[str, object] | None) -> bytes:
        if body is None:
            return f"{method} {path} HTTP/1.1\r\n{self._headers}\r\n".encode()
        content = json.dumps(body).encode()
        own = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{self._headers}{own}\r\n".encode() + content


def _ended(connection: _Connection | None, reason: str) -> NoAnswer:
    if connection is not None:
        connection.writer.close()
    return NoAnswer(reason)


async def _read_answer(reader: asyncio.StreamReader, method: str) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection stays. Raises ValueError where this is no HTTP answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status, *_ = head[0].split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if method == "HEAD" or int(status) in (204, 304):
        return int(status), b"", keeps
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return int(status), await _read_chunks(reader), keeps
    if "content-length" in headers:
        return int(status), await reader.readexactly(int(headers["content-length"])), keeps
    return int(status), await reader.read(), False


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body
