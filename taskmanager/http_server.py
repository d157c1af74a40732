"""uvicorn, with what it lacks for a service that faces strangers.

- Malformed HTTP, a head without end and a client that takes for ever are answered with a problem (RFC 9457).
- Head and body of an answer are one write to the socket where the application has both at once.
- SIGTERM drains: /readyz turns 503 while requests are still served, until none have come for a moment.

It leans on names inside uvicorn, whose version is pinned; a test compares what both write.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from taskmanager.front_door import WHOLE_ANSWER
from taskmanager.problems import MEDIA_TYPE, problem_body

logger = logging.getLogger(__name__)

# A request, its head and its body together, arrives within this time or not at all.
READ_TIMEOUT_S = 10.0
# A client that does not read its answer holds memory here.
WRITE_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 5

# How long what a refused client is still sending is read and thrown away.
LINGER_S = 1.0

LARGEST_HEAD_BYTES = 32 * 1024

# How long a service goes on serving after SIGTERM: until no request has come for this long, since whoever sends
# them has learned of it, and at most for so long.
DRAIN_QUIET_S = 0.5
DRAIN_AT_MOST_S = 5.0

_CODES = {
    HTTPStatus.BAD_REQUEST: (
        "malformed_http",
        "This is no HTTP request that is understood here. In an address, é is written %C3%A9.",
    ),
    HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "The request did not arrive in time."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "head_too_large",
        f"The request line and the headers are longer than {LARGEST_HEAD_BYTES} bytes.",
    ),
}

# Called with the status of an answer that the application never sees. Counts and logs it, and gives the request id and
# the header lines that every answer has.
OnRefusal = Callable[[int], tuple[str, bytes]]


class Connection(HttpToolsProtocol):
    """One client's connection."""

    # Who counts and logs what is refused here, and makes its request id; set by `Server`.
    refused: OnRefusal
    draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since: float | None = self.loop.time()
        self._blocked_since: float | None = None
        self._in_head = True
        self._head_bytes = 0
        self._deaf = False
        self._refusal = HTTPStatus.BAD_REQUEST

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._reading_since is None:
            self._reading_since = self.loop.time()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # A body is bounded by the application, which also reads it.
        if self._in_head and self._head_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all may still want its answer: keep the connection until that is written."""
        if self._deaf or self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_headers_complete(self) -> None:
        # What came together with the head, a body say, was counted with it.
        if self._head_bytes > LARGEST_HEAD_BYTES and self._head_length() > LARGEST_HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError(self._refusal)  # the parser stops, and `send_400_response` is called
        self._in_head = False
        super().on_headers_complete()

    def _head_length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._reading_since = None
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.draining:
            cycle.keep_alive = False
        scope: Any = cycle.scope
        scope["extensions"] = {WHOLE_ANSWER: functools.partial(write_whole, cycle)}
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        # The request is served as if it had not asked (RFC 9110, section 7.8); its connection cannot go on, since
        # the parser takes all that follows for the other protocol.
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        self.refuse(self._refusal)

    def refuse(self, status: HTTPStatus) -> None:
        """Answer what never became a request, and close."""
        cycle = self.cycle
        if self._in_head:
            if cycle is not None and not cycle.response_complete:
                # Requests before it are still being answered, and are to be: the last answer closes.
                cycle.keep_alive = False
                self._deaf = True
                return
        elif cycle.response_started or self.pipeline:
            # The rest of a request that has its answer, or that waits behind others: there is no place for one more.
            self.transport.close()
            return
        else:
            # Whoever waits for the rest of the body learns that it will not come.
            cycle.disconnected = True
            cycle.message_event.set()
        code, detail = _CODES[status]
        request_id, lines = self.refused(status)
        body = problem_body(status, code, detail, instance="", request_id=request_id)
        head = [STATUS_LINE[status]]
        for name, value in [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]:
            head += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*head, lines, b"\r\n", body]))
        self._close_gently()

    def _close_gently(self) -> None:
        """Say no more, and hear out for a moment: who is still sending when a socket is closed loses the answer too."""
        self._deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = None
        super().resume_writing()

    def end_if_too_slow(self, now: float) -> None:
        """Called once a second, which costs less than a timer a request."""
        if self._blocked_since is not None and now - self._blocked_since > WRITE_TIMEOUT_S:
            self.transport.abort()
        elif self._reading_since is not None and now - self._reading_since > READ_TIMEOUT_S and not self._deaf:
            if self._head_bytes == 0:  # nothing was ever sent: nobody waits for an answer
                self.transport.close()
            else:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT)


def write_whole(
    cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], constant: bytes, body: bytes
) -> bool:
    """Write an answer at once, as the cycle's `send` would in two writes; False where it cannot be.

    Parameters
    ----------
    headers: with names in lower case, a content-length or a status that has none, and no `connection`.
    constant: header lines as they are sent, which never hold anything of a request.
    """
    if cycle.flow.write_paused or cycle.response_started:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    if cycle.disconnected:
        return True
    if HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
        raise RuntimeError("a header has a value that HTTP does not allow")
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (constant, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
    cycle.transport.write(b"".join(parts))
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class Server(uvicorn.Server):
    """Serve an application until SIGTERM or SIGINT, and drain before the end.

    Parameters
    ----------
    app: ASGI's.
    refused: see `OnRefusal`.
    drain: called when SIGTERM has come: /readyz is 503 from now on.
    """

    def __init__(self, app: Any, *, refused: OnRefusal, drain: Callable[[], None]) -> None:
        self._connection: Any = type("Connection", (Connection,), {"refused": staticmethod(refused)})
        config = uvicorn.Config(
            app,
            http=self._connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=10,
        )
        super().__init__(config)
        self._drain = drain
        self._draining = False

    async def on_tick(self, counter: int) -> bool:
        # Ten times a second.
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.end_if_too_slow(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._draining and not self.force_exit:
            await self._serve_on_until_quiet()
        await super().shutdown(sockets)

    async def _serve_on_until_quiet(self) -> None:
        logger.info("draining: not ready for new clients, serving those that still come")
        self._connection.draining = True
        began = quiet_since = time.monotonic()
        served = self.server_state.total_requests
        while time.monotonic() - quiet_since < DRAIN_QUIET_S and time.monotonic() - began < DRAIN_AT_MOST_S:
            await asyncio.sleep(0.05)
            if self.server_state.total_requests != served or self.server_state.tasks:
                served, quiet_since = self.server_state.total_requests, time.monotonic()
            if self.force_exit:
                return

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._draining:
            self._draining = True
            self._drain()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again in the end, so that a service that stopped as told seems killed."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)
