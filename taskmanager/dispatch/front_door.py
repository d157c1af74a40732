"""A request's way in and out: what concerns every request, once each and in this order.

    request id, admission (method, length, room), key, schema gate, route, headers, metrics, log

What it finds at fault it answers itself; a plain request of a compiled route it serves directly; all else it hands to
FastAPI (`direct_route` tells what is plain).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import getrandbits
from time import perf_counter

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from migration_gate.gate import SchemaGate
from taskmanager.dispatch.admission import OTHER_METHOD, Admission, RefusalReason, method_label, too_large
from taskmanager.dispatch.exchange import ANSWERED_BELOW, Exchange, lines_of
from taskmanager.dispatch.failures import answer_to
from taskmanager.dispatch.repeated_headers import without_repetition
from taskmanager.dispatch.request_body import replaying, whole_body
from taskmanager.dispatch.request_records import RequestRecords
from taskmanager.dispatch.route_table import PathEntry, RouteTable, route_path
from taskmanager.observability.logs import REQUEST_ID
from taskmanager.observability.request_log import RequestLog
from taskmanager.observability.request_metrics import RequestMetrics
from taskmanager.observability.service_state import ServiceState
from taskmanager.observability.traces import RequestSpan, Traces

_METHODS_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_USABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}").fullmatch


class FrontDoor:
    """The outermost ASGI callable of the application.

    Parameters
    ----------
    inner: FastAPI's own stack, for all that is not served directly.
    app: for its exception handlers.
    routes: where requests are looked up.
    gate: says whether the schema is servable.
    state: says whether that it is not is as planned.
    admission: refuses what need not be looked at further, and counts who is in.
    metrics, log: told of every request but those of its policy's `quiet_paths`.
    traces: make a span of each; None where nothing is traced.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        app: FastAPI,
        routes: RouteTable,
        gate: SchemaGate,
        state: ServiceState,
        admission: Admission,
        metrics: RequestMetrics,
        log: RequestLog,
        traces: Traces | None = None,
    ) -> None:
        self.inner = inner
        self._app = app
        self.routes = routes
        self._find = routes.find
        self._gate = gate
        self._state = state
        self.admission = admission
        self._cross_origin = admission.cross_origin
        self.records = RequestRecords(metrics, log)
        self._record = self.records.take
        self._traces = traces
        self._quiet_paths = admission.policy.quiet_paths
        self._security_headers = admission.policy.security_headers
        self._security_lines = lines_of(admission.policy.security_headers)
        self._largest_body_bytes = admission.policy.largest_body_bytes

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
        quiet = path in self._quiet_paths
        if quiet:
            self.records.tell()  # a scrape counts all that was answered before it
        entry, argument = self._find(path)
        security_headers, security_lines = self._security_headers, self._security_lines
        if self._cross_origin is not None:
            security_headers += self._cross_origin.headers(headers.get(b"origin"))
            security_lines = lines_of(security_headers)
        exchange = Exchange(scope, send, request_id, security_headers, security_lines)
        span, raised = None, None
        traces = self._traces
        if traces is not None and not quiet and traces.takes(headers.get(b"traceparent")):
            span = self._begin_span(traces, scope, entry, request_id, headers)
        try:
            try:
                if len(headers) != len(scope["headers"]):
                    scope["headers"], headers = without_repetition(scope["headers"])
                answer = self.admission.refusal(scope, headers, path, entry)
                if answer is None and entry is not None:
                    answer = await self._admit(scope, headers, path, entry, argument, receive, exchange)
            except Exception as error:  # noqa: BLE001  nothing may leave the process unanswered
                raised = error
                route = entry.path if entry is not None else None
                answer = await answer_to(error, scope, exchange, self._app, route)
            if answer is not None:
                await exchange.send_whole(answer)
        finally:
            if ANSWERED_BELOW not in state:
                self._record(
                    request_id,
                    scope["method"],
                    entry,
                    exchange.status or 500,  # without a status it was cut off before it was answered
                    perf_counter() - started,
                    headers.get(b"content-length"),
                    exchange.length,
                    quiet,
                    span.fields if span is not None else None,
                )
            if span is not None and traces is not None:
                traces.end(span, exchange.status or 500 if ANSWERED_BELOW not in state else None, raised)

    @staticmethod
    def _begin_span(
        traces: Traces, scope: Scope, entry: PathEntry | None, request_id: str, headers: Mapping[bytes, bytes]
    ) -> RequestSpan | None:
        route = entry.path if entry is not None else None
        scheme = scope.get("scheme", "http")
        return traces.begin(method_label(scope["method"]), route, scheme, request_id, headers.get(b"traceparent"))

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
        admission = self.admission
        content = None
        if scope["method"] in _METHODS_WITH_CONTENT:
            content = await whole_body(receive, self._largest_body_bytes)
            if content is None:
                return too_large(scope)
            receive = replaying(content, receive)
            if not admission.has_room(path):
                return admission.no_room(scope)
        admission.in_flight += 1
        try:
            return await self._serve(scope, headers, entry, argument, content, receive, exchange)
        finally:
            admission.in_flight -= 1

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
        if self._gate.refuses(scope) and await self._gate.turns_away(scope):
            reason = RefusalReason.MIGRATING if self._state.migrating else RefusalReason.SCHEMA
            self.admission.refused[reason] += 1
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

    def refused_below(self, status: int) -> tuple[str, bytes]:
        """Count and log what the server refused before it became a request; returns its id and the header lines that
        every answer has."""
        request_id = _request_id(None)
        self._record(request_id, OTHER_METHOD, None, status)
        return request_id, b"x-request-id: %s\r\n%s" % (request_id.encode(), self._security_lines)

    def no_room_below(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Refuse for want of room, for a server that asks before it makes anything of a request.

        Counts and logs it, and returns the header lines and the body of the 503; None where the request is to go the
        ordinary way.
        """
        request_id = _request_id(dict(headers).get(b"x-request-id"))
        answer = self.admission.no_room_in_bytes(path, request_id)
        if answer is None:
            return None
        lines, body = answer
        entry, _ = self._find(path)
        self._record(request_id, method, entry, 503, sent=len(body))
        return lines + self._security_lines, body


def _request_id(given: bytes | None) -> str:
    """The caller's request id where it can be trusted in a log, else a new one of 32 hexadecimal digits."""
    if given is not None and _USABLE_REQUEST_ID(given):
        return given.decode()
    return f"{getrandbits(128):032x}"
