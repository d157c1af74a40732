"""A client's connection: what is read of it, for how long, and how much.

Malformed HTTP, a head without end and a client that takes for ever are answered with a problem (RFC 9457), and so is
a request for which there is no room (`refusals`).
"""

from __future__ import annotations

import asyncio
import functools
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from taskmanager.dispatch.exchange import WHOLE_ANSWER
from taskmanager.server.refusals import LARGEST_HEAD_BYTES, RefusingConnection
from taskmanager.server.whole_answer import write_whole

# A request, its head and its body together, arrives within this time or not at all.
READ_TIMEOUT_S = 10.0
# A client that does not read its answer holds memory here.
WRITE_TIMEOUT_S = 10.0

# What may still come of a request that has its answer; what comes after that is not even parsed.
MOST_IGNORED_BYTES = 16 * 1024 * 1024

# Requests of one connection that wait for their turn.
MOST_WAITING = 1000


class Connection(RefusingConnection):
    """One client's connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since: float | None = self.loop.time()
        self._unread_bytes = 0
        self._unread_since = self.loop.time()
        self._head_bytes = 0
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
        if self._deaf:
            return
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
        if self._deaf:
            raise ValueError("the last answer is given")  # the parser stops in the middle of what came with it
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
        if not self._shedding:
            super().on_message_complete()
            return
        self._shedding = False
        if not self._held:  # else it is expected once they are said
            self._expect_another()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.draining:
            cycle.keep_alive = False
        scope: Any = cycle.scope
        scope["extensions"] = {WHOLE_ANSWER: functools.partial(write_whole, cycle)}
        super()._start_asgi_task(cycle, app)

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
