"""A client's connection: uvicorn's, with what it lacks towards strangers.

- Malformed HTTP, a head without end and a client that takes for ever are answered with a problem (RFC 9457).
- Head and body of an answer are one write to the socket where the application has both at once.
- A request for which there is no room is refused before a task is made for it.

It leans on names inside uvicorn, whose version is pinned; a test compares what both write.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from taskmanager.exchange import ANSWERED_BELOW, WHOLE_ANSWER
from taskmanager.problems import MEDIA_TYPE, problem_body

# A request, its head and its body together, arrives within this time or not at all.
READ_TIMEOUT_S = 10.0
# A client that does not read its answer holds memory here.
WRITE_TIMEOUT_S = 10.0

# How long what a refused client is still sending is read and thrown away.
LINGER_S = 1.0

# How long a refusal for want of room is held back: so much for each that is held, and no longer than that. Clients that
# send again as soon as they are refused would otherwise have this loop do nothing but refuse: 128 of them got 2,000
# answers/s of the 6,500 that the service can give. With it refusals take a fifth of the loop's time while few ask.
HOLD_EACH_S = 0.0005
HOLD_AT_MOST_S = 0.01

LARGEST_HEAD_BYTES = 32 * 1024

# What may still come of a request that has its answer; what comes after that is not even parsed.
MOST_IGNORED_BYTES = 16 * 1024 * 1024

# Requests of one connection that wait for their turn.
MOST_WAITING = 1000

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


class Connection(HttpToolsProtocol):
    """One client's connection."""

    # Who counts and logs what is refused here, and makes its request id; set by `Server`.
    refused: OnRefusal
    is_full: Callable[[], bool]
    no_room: NoRoom
    draining = False
    # On how many connections a refusal is held back.
    holding = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since: float | None = self.loop.time()
        self._unread_bytes = 0
        self._unread_since = self.loop.time()
        self._in_head = True
        self._head_bytes = 0
        self._deaf = False
        self._shedding = False
        self._held: list[bytes] = []
        self._ignored_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._reading_since is None:
            self._reading_since = self.loop.time()
        self._head_bytes += len(data)
        if not self._in_head and (self._shedding or self.cycle.response_complete):
            self._ignored_bytes += len(data)
            if self._ignored_bytes > MOST_IGNORED_BYTES:
                self._close_gently()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.refuse(self._refusal)
        # A body is bounded by the application, which also reads it; what follows a chunked one is bounded here.
        if self._head_bytes > LARGEST_HEAD_BYTES and not (self._deaf or self.transport.is_closing()):
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Serve a request as if it had not asked for another protocol (RFC 9110, section 7.8).

        The parser has ended the message behind its head, body or no body, and would take all that follows for the
        other protocol. Another one is told how the body is framed, and reads on.
        """
        self.parser = self._new_parser(self)
        framing = [header for header in self.headers if header[0] in (b"content-length", b"transfer-encoding")]
        if framing:
            self.cycle.more_body = True
            self._in_head = False
            self._reading_since = self.loop.time()
            self.parser = self._new_parser(_BodyAlone(self))
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(b"%s: %s\r\n" % header for header in framing))
        if rest:
            self.data_received(rest)

    @staticmethod
    def _new_parser(told: Any) -> Any:
        parser = httptools.HttpRequestParser(told)
        # As uvicorn's own, for the answer to the first of several requests of which one closes.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all may still want its answer: keep the connection until that is written."""
        if self._deaf or self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_WAITING:
            raise ValueError("too many requests at once")  # the parser stops, and `data_received` refuses
        self._ignored_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer is no header (RFC 9110, section 6.5.1)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        # What came together with the head, a body say, was counted with it.
        if self._head_bytes > LARGEST_HEAD_BYTES and self._head_length() > LARGEST_HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError(self._refusal)
        version = self.parser.get_http_version()
        if version == "1.0":
            self.expect_100_continue = False  # it knows no such answer (RFC 9110, section 10.1.1)
        elif version != "1.1":
            self._refusal = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            raise ValueError(self._refusal)
        if not self._shed():
            if self._held:
                self._say_what_is_held()
                self._unset_keepalive_if_required()
            super().on_headers_complete()
        self._in_head = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            # What waits is enough: more is read once it is answered.
            self.flow.pause_reading()

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
        parts = [STATUS_LINE[HTTPStatus.SERVICE_UNAVAILABLE]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        keep_alive = self.parser.should_keep_alive() and not self.draining
        parts += (lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n", b"" if method == "HEAD" else body)
        self.server_state.total_requests += 1
        if not self._held:
            type(self).holding += 1
            # Held back is the answer, and not the reading alone: what is read late is served late.
            self.flow.pause_reading()
            self.loop.call_later(min(HOLD_EACH_S * self.holding, HOLD_AT_MOST_S), self._say_what_is_held)
        self._held.append(b"".join(parts))
        if not keep_alive:
            self._say_what_is_held()
            self._close_gently()
        return True

    def _say_what_is_held(self) -> None:
        """Send refusals that were held back: in time, or because something else is to be sent behind them."""
        if not self._held:
            return
        held, self._held = self._held, []
        type(self).holding -= 1
        if self.transport.is_closing():
            return
        self.transport.write(b"".join(held))
        self.flow.resume_reading()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if not self._shedding:
            super().on_body(body)

    def _head_length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._reading_since = None
        self._in_head = True
        self._head_bytes = 0
        if self._shedding:
            self._shedding = False
        else:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.draining:
            cycle.keep_alive = False
        scope: Any = cycle.scope
        scope["extensions"] = {WHOLE_ANSWER: functools.partial(write_whole, cycle)}
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        self._say_what_is_held()
        super().shutdown()

    def refuse(self, status: HTTPStatus) -> None:
        """Answer what never became a request, and close."""
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

    def end_if_too_slow(self, now: float) -> None:
        """Called once a second, which costs less than a timer a request."""
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes == 0 or unread_bytes < self._unread_bytes:
            self._unread_since = now
        self._unread_bytes = unread_bytes
        if now - self._unread_since > WRITE_TIMEOUT_S:
            self.transport.abort()
        elif self._deaf or self.transport.is_closing():
            pass
        elif self._reading_since is not None and now - self._reading_since > READ_TIMEOUT_S:
            if self._in_head and self._head_bytes == 0:  # nothing was ever sent: nobody waits for an answer
                self.transport.close()
            else:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT)

    @property
    def at_work(self) -> bool:
        """Is a request that has arrived whole still to be answered?"""
        return bool(self.pipeline) or not (self.cycle is None or self.cycle.response_complete or self.cycle.more_body)

    def wait_no_longer(self) -> None:
        """Refuse what has begun to arrive and has not arrived."""
        if self._reading_since is not None and not self._deaf and not self.transport.is_closing():
            self.end_if_too_slow(self._reading_since + READ_TIMEOUT_S + 1)


class _BodyAlone:
    """What a parser tells that is shown a head again, to learn how the body behind it is framed.

    It ends with that body: what comes behind goes to a parser of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self._connection = connection

    def on_message_complete(self) -> None:
        self._connection.on_message_complete()
        # The connection closes with this answer: a parser cannot be replaced while it parses.
        self._connection.cycle.keep_alive = False


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
    # The scope holds this function, bound to the cycle that holds the scope.
    cycle.scope.pop("extensions", None)
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    if cycle.disconnected or cycle.transport.is_closing():
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
