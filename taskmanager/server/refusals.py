"""What a connection refuses by itself, so that the application never sees it.

What never became a request is answered, and the connection closed. A request for which there is no room is refused
before a task is made for it, and the connection stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from taskmanager.dispatch.exchange import ANSWERED_BELOW, lines_of
from taskmanager.problems import MEDIA_TYPE, problem_body

# How long what a refused client is still sending is read and thrown away.
LINGER_S = 1.0

# How long a refusal for want of room is held back: a millisecond, the least that uvloop's timers know, for each client
# that waits for one, and ten at most. Clients that send again as soon as they are refused would otherwise have this
# loop do nothing but refuse: one alone is refused 12,000 times a second, which takes most of its time.
HOLD_EACH_S = 0.001
HOLD_AT_MOST_S = 0.01

LARGEST_HEAD_BYTES = 32 * 1024

_CODES = {
    HTTPStatus.BAD_REQUEST: (
        "malformed_http",
        "This is no HTTP request that is understood here. In an address, é is written %C3%A9.",
    ),
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: ("http_version_not_supported", "This service speaks HTTP/1.1 and HTTP/1.0."),
    HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "The request did not arrive in time."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "head_too_large",
        f"The request line and the headers are longer than {LARGEST_HEAD_BYTES} bytes.",
    ),
}

# Called with the status of an answer that the application never sees. Counts and logs it, and gives the request id and
# the header lines that every answer has.
OnRefusal = Callable[[int], tuple[str, bytes]]

# Called with method, path and headers of a request before anything is made of it. Where there is no room for it, it is
# counted and logged, and the header lines and the body of the 503 come back; otherwise None.
NoRoom = Callable[[str, str, list[tuple[bytes, bytes]]], tuple[bytes, bytes] | None]


class RefusingConnection(HttpToolsProtocol):
    """uvicorn's connection, able to refuse. What to refuse, `http_connection` finds out."""

    # Who counts and logs what is refused here, and makes its request id; set by `Server`.
    refused: OnRefusal
    is_full: Callable[[], bool]
    no_room: NoRoom
    draining = False
    # On how many connections a refusal is held back.
    holding = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Does what is read belong to a head?
        self._in_head = True
        # Is nothing read any more, since the last answer is given?
        self._deaf = False
        # Has the request that is being read been refused for want of room?
        self._shedding = False
        self._held: list[bytes] = []
        self._hold: asyncio.TimerHandle | None = None

    def _shed(self) -> bool:
        """Refuse a request for which there is no room here, for a third of what a task and its way to the front door
        cost: refusals must not take from the requests in work the time that they need."""
        if not self.is_full() or self.pipeline or (self.cycle is not None and not self.cycle.response_complete):
            return False
        url = httptools.parse_url(self.url)
        method = self.parser.get_method().decode("ascii")
        answer = self.no_room(method, unquote((url.path or b"").decode("ascii")), self.headers)
        if answer is None:
            return False
        self._shedding = True
        lines, body = answer
        parts = [STATUS_LINE[HTTPStatus.SERVICE_UNAVAILABLE], lines_of(self.server_state.default_headers)]
        # As uvicorn has it for HTTP/1.0; and behind a request for another protocol this parser reads no other request.
        keep_alive = (
            self.parser.should_keep_alive()
            and self.parser.get_http_version() != "1.0"
            and not self.parser.should_upgrade()
            and not self.draining
        )
        parts += (lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n", b"" if method == "HEAD" else body)
        self.server_state.total_requests += 1
        if not self._held:
            type(self).holding += 1
            # Held back is the answer, and not the reading alone: what is read late is served late.
            self.flow.pause_reading()
            self._hold = self.loop.call_later(min(HOLD_EACH_S * self.holding, HOLD_AT_MOST_S), self._end_hold)
        self._held.append(b"".join(parts))
        if not keep_alive:
            self._say_what_is_held()
            self._close_gently()
        return True

    def _end_hold(self) -> None:
        if self.flow.write_paused and not self.transport.is_closing():
            # Who does not read its answers is not read from either.
            self._hold = self.loop.call_later(HOLD_AT_MOST_S, self._end_hold)
        else:
            self._say_what_is_held()

    def _say_what_is_held(self) -> None:
        """Send refusals that were held back: in time, or because something else is to be sent behind them."""
        if not self._held:
            return
        held, self._held = self._held, []
        type(self).holding -= 1
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        if self.transport.is_closing():
            return
        self.transport.write(b"".join(held))
        self.flow.resume_reading()
        self._expect_another()

    def _expect_another(self) -> None:
        """End the connection if it stays without a request."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        self._say_what_is_held()
        super().shutdown()

    def refuse(self, status: HTTPStatus) -> None:
        """Answer what never became a request, and close."""
        if self._deaf:
            return
        self._say_what_is_held()
        cycle = self.cycle
        if self._in_head:
            if cycle is not None and not cycle.response_complete:
                # Requests before it are still being answered, and are to be: the last answer closes.
                cycle.keep_alive = False
                self._deaf = True
                return
        elif self._shedding or cycle.response_started or self.pipeline:
            # The rest of a request that has its answer, or that waits behind others: there is no place for one more.
            self.transport.close()
            return
        else:
            # Whoever waits for the rest of the body learns that it will not come.
            cycle.disconnected = True
            cycle.scope["state"][ANSWERED_BELOW] = True
            cycle.message_event.set()
        code, detail = _CODES[status]
        request_id, lines = self.refused(status)
        body = problem_body(status, code, detail, instance="", request_id=request_id)
        headers = (
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        )
        self.transport.write(b"".join((STATUS_LINE[status], lines_of(headers), lines, b"\r\n", body)))
        self._close_gently()

    def _close_gently(self) -> None:
        """Say no more, and hear out for a moment: who is still sending when a socket is closed loses the answer too."""
        self._deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
