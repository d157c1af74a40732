"""Every error this service answers with, as RFC 9457 problem details.

`code` is stable and for programs, `detail` is for people. Nothing that a client sent is echoed, and what a
5xx tells is generic: its cause is in the log, under the same request id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(
        description="Where: a JSON pointer into the body, or the parameter's name", examples=["#/title"]
    )
    detail: str
    code: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid_request"])
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str | None = None
    errors: list[Fault] | None = None


class ProblemError(Exception):
    """Raise one to answer with a problem."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotFound(ProblemError):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class DatabaseUnavailable(ProblemError):
    """The database cannot serve this request now; the same request may succeed in a moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database_unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}


def _documented(status: HTTPStatus) -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": status.phrase, "content": {MEDIA_TYPE: reference}, "model": Problem}


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    int(status): _documented(status)
    for status in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
}


# The phrases of RFC 9110, which Python gives from 3.13 on.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem_body(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str,
    request_id: str | None,
    errors: list[dict[str, str]] | None = None,
) -> bytes:
    """The JSON text of a problem, all in ASCII: a path may hold what UTF-8 cannot."""
    content: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": instance,
        "request_id": request_id,
    }
    if errors is not None:
        content["errors"] = errors
    return json.dumps(content, separators=(",", ":")).encode()


def answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """A response with a problem."""
    body = problem_body(
        status, code, detail, instance=request.url.path, request_id=request.state.request_id, errors=errors
    )
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of FastAPI and Starlette with a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  registered for this class
    return answer(request, error.status, error.code, error.detail, error.headers)


_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The body could not be read as JSON in UTF-8.",
    HTTPStatus.NOT_FOUND: "There is nothing at this path. The documentation is at /docs.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; the Allow header lists those it takes.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than this service takes.",
}


# Python 3.13 gives some statuses the names of RFC 9110; a code must not change with the interpreter.
_CODES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content_too_large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_request",
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class
    status = HTTPStatus(error.status_code)
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": allowed_methods(request.scope)}
    return answer(
        request, status, _CODES.get(status, status.name.lower()), _DETAILS.get(status, status.phrase), headers
    )


def allowed_methods(scope: Scope) -> str:
    """The value of Allow: every method that this path takes. FastAPI names those of its first route alone."""
    asked = {"type": "http", "path": scope["path"], "root_path": scope.get("root_path", ""), "headers": []}
    routes = scope["app"].routes
    return ", ".join(
        method.value
        for method in HTTPMethod
        if any(route.matches({**asked, "method": method.value})[0] is Match.FULL for route in routes)
    )


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this class
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request, 400, "malformed_json", _DETAILS[HTTPStatus.BAD_REQUEST])
    if any(fault["loc"] == ("body",) for fault in faults) and not _is_json(request):
        detail = "The body must be JSON and say so: Content-Type: application/json."
        return answer(request, 415, "unsupported_media_type", detail)
    errors = [{"pointer": _pointer(f["loc"]), "detail": _sentence(f), "code": f["type"]} for f in faults]
    return answer(request, 422, "invalid_request", "The request is not valid; see errors.", errors=errors)


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


_HARMLESS_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def _pointer(location: tuple[int | str, ...]) -> str:
    """Where the fault is. A name that a client made up is told only where it can do no harm."""
    place, *path = location
    names = [str(part) if _HARMLESS_NAME.fullmatch(str(part)) else "?" for part in path]
    return "#" + "".join(f"/{name}" for name in names) if place == "body" else ".".join(names)


def _sentence(fault: Mapping[str, Any]) -> str:
    """Pydantic's sentence. Those of ours that name no value are kept, the rest hold none either."""
    if fault["type"] == "extra_forbidden":
        return "There is no such field or parameter to set; leave it out"
    return str(fault["msg"])
