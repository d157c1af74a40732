"""A request's way in and out: what concerns every request, once each and in this order.

    request id, admission (method, length, room), key, schema gate, route, headers, metrics, log

What it finds at fault it answers itself; a plain request of a compiled route it serves directly; all else it hands to
FastAPI (`direct_route` tells what is plain).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from random import getrandbits
from time import perf_counter
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from migration_gate.gate import SchemaGate
from taskmanager.cors import CrossOrigin
from taskmanager.exchange import ANSWERED_BELOW, Exchange, length_of, replaying
from taskmanager.key_lines import TASKS_READ
from taskmanager.keys import Keyring
from taskmanager.observability.logs import REQUEST_ID
from taskmanager.observability.metrics import RequestMetrics
from taskmanager.observability.request_log import RequestLog
from taskmanager.problems import CONTENT_TOO_LARGE, MEDIA_TYPE, NOTHING_HERE, PATCH_MEDIA_TYPES, problem_body
from taskmanager.refusal import RawHeaders, Refusal
from taskmanager.repeated_headers import RepeatedHeader, without_repetition
from taskmanager.route_table import PathEntry, RouteTable, route_path

logger = logging.getLogger(__name__)

# Every other method would become a label of its own in the metrics, for as long as the process lives.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "_OTHER"
_MOST_DIGITS = 18
_METHODS_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})

_USABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}").fullmatch

# What nginx logs where a client has gone before the answer; no client ever sees it.
CLIENT_CLOSED_REQUEST = 499

NO_HANDLER = "none"

NO_ROOM = "The service is working on as many requests as it can. Try again in a moment."
# As `problem_body` makes it, but once: who refuses many must refuse cheaply.
_NO_ROOM_BODY = problem_body(503, "overloaded", NO_ROOM, instance="%s", request_id="%s").replace(
    b'"instance":"%s"', b'"instance":%s'
)
_NO_ROOM_LINES = (
    b"cache-control: no-store\r\ncontent-length: %d\r\ncontent-type: application/problem+json\r\n"
    b"retry-after: 1\r\nx-request-id: %s\r\n"
)


class FrontDoor:
    """The outermost ASGI callable of the application.

    Parameters
    ----------
    inner: FastAPI's own stack, for all that is not served directly.
    app: for its exception handlers.
    routes: where requests are looked up.
    gate: says whether the schema is servable.
    keyring: who may call; None where nobody is asked.
    metrics, log: told of every request but those of `quiet_paths`.
    always_paths: they answer whatever the schema and the load: probes, metrics, the documentation.
    public_paths: they answer whoever asks.
    cross_origin: which web pages may call; None where none may.
    quiet_paths: probes and scrapes, which come every second and tell nothing while all is well.
    security_headers: of every answer that brings none of its own.
    largest_body_bytes: a request that announces more is refused unread.
    max_in_flight: requests in work at once; the next one is refused.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        app: FastAPI,
        routes: RouteTable,
        gate: SchemaGate,
        keyring: Keyring | None,
        cross_origin: CrossOrigin | None,
        metrics: RequestMetrics,
        log: RequestLog,
        always_paths: frozenset[str],
        public_paths: frozenset[str],
        quiet_paths: frozenset[str],
        security_headers: RawHeaders,
        largest_body_bytes: int,
        max_in_flight: int,
    ) -> None:
        self.inner = inner
        self._app = app
        self.routes = routes
        self._find = routes.find
        self._gate = gate
        self._keyring = keyring
        self._cross_origin = cross_origin
        self.metrics = metrics
        self._log = log
        self._always_paths = always_paths
        self._public_paths = public_paths
        self._quiet_paths = quiet_paths
        self._security_headers = security_headers
        self._security_lines = _lines(security_headers)
        self._largest_body_bytes = largest_body_bytes
        self._max_in_flight = max_in_flight
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            scope["app"] = self._app
            await self.inner(scope, receive, send)
            return
        started = perf_counter()
        headers = dict(scope["headers"])
        scope["state"] = state = scope.get("state", {})
        state["request_id"] = request_id = _request_id(headers.get(b"x-request-id"))
        REQUEST_ID.set(request_id)
        path = route_path(scope)
        entry, argument = self._find(path)
        security_headers, security_lines = self._security_headers, self._security_lines
        if self._cross_origin is not None:
            security_headers += self._cross_origin.headers(headers.get(b"origin"))
            security_lines = _lines(security_headers)
        exchange = Exchange(scope, send, request_id, security_headers, security_lines)
        try:
            try:
                if len(headers) != len(scope["headers"]):
                    scope["headers"], headers = without_repetition(scope["headers"])
                answer = self._refusal(scope, headers, path, entry)
                if answer is None and entry is not None:
                    answer = await self._admit(scope, headers, path, entry, argument, receive, exchange)
            except Exception as error:  # noqa: BLE001  nothing may leave the process unanswered
                answer = await self._answer_to(error, scope, exchange)
            if answer is not None:
                await exchange.send_whole(answer)
        finally:
            method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            handler = entry.path if entry is not None else None
            if ANSWERED_BELOW not in state:
                self._record(exchange, request_id, method, handler, path, headers, perf_counter() - started)

    def _record(
        self,
        exchange: Exchange,
        request_id: str,
        method: str,
        handler: str | None,
        path: str,
        headers: Mapping[bytes, bytes],
        duration_s: float,
    ) -> None:
        # Without a status it was cut off before it was answered.
        status = exchange.status or 500
        quiet = path in self._quiet_paths
        self._log.write(request_id, method, handler, status, duration_s, quiet=quiet)
        if not quiet:
            received = length_of(headers.get(b"content-length"))
            self.metrics.count(method, status, handler or NO_HANDLER, duration_s, received, exchange.length)

    def refused_below(self, status: int) -> tuple[str, bytes]:
        """Count and log what the server refused before it became a request; returns its id and the header lines that
        every answer has."""
        request_id = _request_id(None)
        self._log.write(request_id, OTHER_METHOD, None, status, 0.0)
        self.metrics.count(OTHER_METHOD, status, NO_HANDLER, 0.0, 0, 0)
        return request_id, b"x-request-id: %s\r\n%s" % (request_id.encode(), self._security_lines)

    def is_full(self) -> bool:
        """Is there room for no more requests but those of `always_paths`?"""
        return self.in_flight >= self._max_in_flight

    def no_room_below(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """As `_refusal` where there is no room, for a server that asks before it makes anything of a request.

        Returns the header lines and the body of the 503; None where there is room, or where the ordinary way must
        answer: what is always answered, and what another origin may read.
        """
        if self._has_room(path) or self._cross_origin is not None:
            return None
        request_id = _request_id(dict(headers).get(b"x-request-id"))
        body = _NO_ROOM_BODY % (json.dumps(path).encode(), request_id.encode())
        entry, _ = self._find(path)
        handler = entry.path if entry is not None else None
        method = method if method in METHODS else OTHER_METHOD
        self._log.write(request_id, method, handler, 503, 0.0)
        self.metrics.count(method, 503, handler or NO_HANDLER, 0.0, 0, len(body))
        return _NO_ROOM_LINES % (len(body), request_id.encode()) + self._security_lines, body

    def _refusal(
        self, scope: Scope, headers: Mapping[bytes, bytes], path: str, entry: PathEntry | None
    ) -> Response | None:
        """What can be answered from a request's head alone, before anything of its body is read."""
        method = scope["method"]
        length = headers.get(b"content-length")
        if method not in METHODS:
            return _problem(scope, 405, "method_not_allowed", "This method is not served.", _allow(entry))
        if scope["http_version"] == "1.1" and b"host" not in headers:
            return _problem(scope, 400, "malformed_http", "HTTP/1.1 asks for a Host header.")
        if length is not None and (len(length) > _MOST_DIGITS or length_of(length) > self._largest_body_bytes):
            return _problem(scope, 413, "content_too_large", CONTENT_TOO_LARGE)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return _problem(scope, 415, "unsupported_media_type", "A body is taken as it is, in no Content-Encoding.")
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            return _problem(scope, 501, "not_implemented", "Of the transfer codings only chunked is understood.")
        if not self._has_room(path):
            return _problem(scope, 503, "overloaded", NO_ROOM, ((b"retry-after", b"1"),))
        if method == "OPTIONS":
            if entry is not None:
                return self._options(scope, entry)
            if path == "*":  # of the server as a whole
                return Response(status_code=204, headers={"Allow": ", ".join(sorted(METHODS))})
        operation = entry.operations.get("GET" if method == "HEAD" else method) if entry is not None else None
        if self._keyring is not None and path not in self._public_paths:
            # Who has no key does not even learn which paths there are.
            needed = operation.scope if operation is not None else None
            refusal = self._keyring.check(headers.get(b"authorization"), needed or TASKS_READ)
            if refusal is not None:
                return _refused(scope, refusal)
        if entry is None:
            # Not the router's to say: its patterns take more than this table holds, a line break at the end say.
            return _problem(scope, 404, "not_found", NOTHING_HERE)
        if operation is None:
            detail = "This path does not take this method; the Allow header lists those it takes."
            return _problem(scope, 405, "method_not_allowed", detail, _allow(entry))
        return None

    def _options(self, scope: Scope, entry: PathEntry) -> Response:
        preflight = self._cross_origin.preflight(scope["headers"]) if self._cross_origin is not None else None
        if preflight is None:
            headers = {"Allow": entry.allow}
            if "PATCH" in entry.operations:
                headers["Accept-Patch"] = ", ".join(PATCH_MEDIA_TYPES)
            return Response(status_code=204, headers=headers)
        if preflight.refusal is not None:
            return _refused(scope, preflight.refusal)
        answer = Response(status_code=204)
        answer.raw_headers.extend(preflight.headers)
        return answer

    def _has_room(self, path: str) -> bool:
        return self.in_flight < self._max_in_flight or path in self._always_paths

    async def _admit(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        path: str,
        entry: PathEntry,
        argument: str,
        receive: Receive,
        exchange: Exchange,
    ) -> Response | None:
        """Wait for the body, which takes as long as the client likes, and only then take a place."""
        content = None
        if scope["method"] in _METHODS_WITH_CONTENT:
            content = await self._content(receive)
            if content is None:
                return _problem(scope, 413, "content_too_large", CONTENT_TOO_LARGE)
            receive = replaying(content, receive)
            if not self._has_room(path):
                return _problem(scope, 503, "overloaded", NO_ROOM, ((b"retry-after", b"1"),))
        self.in_flight += 1
        try:
            return await self._serve(scope, headers, entry, argument, content, receive, exchange)
        finally:
            self.in_flight -= 1

    async def _content(self, receive: Receive) -> bytes | None:
        """The whole body; None where it is longer than is taken.

        Raises
        ------
        ClientDisconnect: the client left before its body was complete.
        """
        content: bytes = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            content += message.get("body", b"")
            if len(content) > self._largest_body_bytes:
                return None
            if not message.get("more_body"):
                return content

    async def _serve(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        entry: PathEntry,
        argument: str,
        content: bytes | None,
        receive: Receive,
        exchange: Exchange,
    ) -> Response | None:
        """Serve directly and return the answer, or through FastAPI, which sends its own."""
        if self._gate.refuses(scope):
            await self._gate.refuse(scope, exchange.send)
            return None
        method = scope["method"]
        if method == "HEAD":
            # The server goes on seeing HEAD, and leaves the body out.
            scope = {**scope, "method": (method := "GET")}
        scope["app"] = self._app
        direct = entry.operations[method].direct
        if direct is not None:
            answer = await direct(scope, headers, argument, content)
            if answer is not None and answer.background is None:
                return answer
            if answer is not None:
                await answer(scope, receive, exchange.send)
                return None
        await self.inner(scope, receive, exchange.send)
        return None

    async def _answer_to(self, error: Exception, scope: Scope, exchange: Exchange) -> Response | None:
        """The answer to what went wrong; None where it can reach nobody."""
        if isinstance(error, ClientDisconnect):
            exchange.status = CLIENT_CLOSED_REQUEST
            return None
        if isinstance(error, RepeatedHeader):
            return _problem(scope, 400, "repeated_header", str(error))
        if exchange.status == 0:
            for kind in type(error).__mro__:
                handler = self._app.exception_handlers.get(kind)
                if handler is None or kind is Exception:
                    continue
                try:
                    answer: Response = await handler(Request(scope), error)  # type: ignore[misc]
                except Exception as unhandled:  # noqa: BLE001  it declined
                    error = unhandled
                    break
                return answer
        fields = {
            "http.request.method": scope["method"] if scope["method"] in METHODS else OTHER_METHOD,
            "http.response.status_code": exchange.status or 500,
            "error.type": type(error).__name__,
            "db.response.status_code": getattr(error, "sqlstate", None),
        }
        logger.error("unhandled error", exc_info=error, extra=fields)
        if exchange.status:
            raise error  # the answer has begun: only breaking the connection tells the client
        return _problem(scope, 500, "internal_error", "This is our fault. The log names it.")


def _request_id(given: bytes | None) -> str:
    """The caller's request id where it can be trusted in a log, else a new one of 32 hexadecimal digits."""
    if given is not None and _USABLE_REQUEST_ID(given):
        return given.decode()
    return f"{getrandbits(128):032x}"


def _lines(headers: RawHeaders) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)


def _allow(entry: PathEntry | None) -> RawHeaders:
    return ((b"allow", entry.allow.encode() if entry is not None else b""),)


def _refused(scope: Scope, refusal: Refusal) -> Response:
    return _problem(scope, refusal.status, refusal.code, refusal.detail, refusal.headers)


def _problem(scope: Scope, status: int, code: str, detail: str, headers: RawHeaders = ()) -> Response:
    body = problem_body(status, code, detail, instance=scope["path"], request_id=scope["state"]["request_id"])
    response: Any = Response(body, status, {"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
    response.raw_headers.extend(headers)
    return response  # type: ignore[no-any-return]
