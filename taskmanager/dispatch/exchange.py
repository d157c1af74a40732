"""What is sent to one request, by whom ever: whole answers of ours, and those that an ASGI application sends itself."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Message, Scope, Send

from taskmanager.refusal import RawHeaders

# Set by a server that can write an answer's head and body at once (`http_connection`).
WHOLE_ANSWER = "taskmanager.whole_answer"

# In the state of a request that its server has answered, counted and logged, since the rest of it never came.
ANSWERED_BELOW = "taskmanager.answered_below"


class Exchange:
    """What is sent to one request."""

    __slots__ = ("_request_id", "_scope", "_security_headers", "_security_lines", "_send", "length", "status")

    def __init__(
        self,
        scope: Scope,
        send: Send,
        request_id: str,
        security_headers: RawHeaders,
        security_lines: bytes,
    ) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._security_headers = security_headers
        self._security_lines = security_lines
        self.status = 0
        self.length = 0

    async def send_whole(self, answer: Response) -> None:
        """Send an answer that is all there, at once where the server can."""
        self.status = int(answer.status_code)
        headers = answer.raw_headers
        headers.append((b"x-request-id", self._request_id.encode()))
        body = answer.body
        self.length = len(body)
        if self._scope["method"] == "HEAD":
            body = b""
        extensions = self._scope.get("extensions")
        write = extensions.get(WHOLE_ANSWER) if extensions is not None else None
        if write is not None and write(self.status, headers, self._security_lines, body):
            return
        headers.extend(self._security_headers)
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def send(self, message: Message) -> None:
        """ASGI's `send` for an application that answers by itself."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = [*message["headers"], (b"x-request-id", self._request_id.encode())]
            present = {name for name, _ in headers}
            headers.extend(header for header in self._security_headers if header[0] not in present)
            self.length = length_of(next((value for name, value in headers if name == b"content-length"), None))
            message = {**message, "headers": headers}
        elif self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)


def lines_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they go over the wire."""
    return b"".join([b"%s: %s\r\n" % header for header in headers])


def length_of(value: bytes | None) -> int:
    # A server refuses a length that is no number; what a caller of this application makes up is not trusted.
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0
