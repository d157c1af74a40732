"""A request's way in and out: request id, method, headers, faults nobody caught, log; once each."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from taskmanager.problems import MEDIA_TYPE, allowed_methods, problem_body

logger = logging.getLogger(__name__)

# Every other method would become a label of its own in the metrics, for as long as the process lives.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Probes and scrapes come every second and tell nothing while all is well.
QUIET_PATHS = frozenset({"/health", "/livez", "/readyz", "/metrics"})

_USABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")

# What nginx logs where a client has gone before the answer; no client ever sees it.
CLIENT_CLOSED_REQUEST = 499


class FrontDoor:
    """The outermost ASGI callable of the application."""

    def __init__(self, app: ASGIApp, largest_body_bytes: int) -> None:
        self.app = app
        self._largest_body_bytes = largest_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                refused = _refusal(scope, self._largest_body_bytes)
                if refused is None:
                    await self.app(scope, receive, send_with_id)
                else:
                    await _answer(scope, send_with_id, *refused)
            except ClientDisconnect:
                status = CLIENT_CLOSED_REQUEST
            except Exception as error:
                logger.exception("unhandled error", extra=_fields(scope, status or 500, started, error))
                if status:
                    raise  # the answer has begun: only breaking the connection tells the client
                await _answer(scope, send_with_id, 500, "internal_error", "This is our fault. The log names it.")
            _log(scope, status, started)


def _refusal(scope: Scope, largest_body_bytes: int) -> tuple[int, str, str] | None:
    """What can be refused from a request's head alone, before anything of its body is read."""
    if scope["method"] not in METHODS:
        return 405, "method_not_allowed", "This method is not served."
    for name, value in scope["headers"]:
        # The server has refused a length that is no number.
        if name == b"content-length" and int(value) > largest_body_bytes:
            detail = f"The body is larger than the {largest_body_bytes} bytes that this service takes."
            return 413, "content_too_large", detail
    return None


def _log(scope: Scope, status: int, started: float) -> None:
    level = logging.DEBUG if scope["path"] in QUIET_PATHS else logging.INFO
    logger.log(level, "request", extra=_fields(scope, status, started))


def _fields(scope: Scope, status: int, started: float, error: Exception | None = None) -> dict[str, Any]:
    """What a log line says of a request: its route and never its path, which may hold what a client made up."""
    fields: dict[str, Any] = {
        "http.request.method": scope["method"] if scope["method"] in METHODS else "_OTHER",
        "http.route": getattr(scope.get("route"), "path", None),
        "http.response.status_code": status,
        "duration_s": round(time.perf_counter() - started, 6),
    }
    if error is not None:
        fields["error.type"] = type(error).__name__
        fields["db.response.status_code"] = getattr(error, "sqlstate", None)
    return fields


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's request id where it can be trusted in a log, else a new one of 32 hexadecimal digits."""
    for name, value in headers:
        if name == b"x-request-id" and _USABLE_REQUEST_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(16)


async def _answer(scope: Scope, send: Send, status: int, code: str, detail: str) -> None:
    body = problem_body(status, code, detail, instance=scope["path"], request_id=scope["state"]["request_id"])
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", allowed_methods(scope).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
