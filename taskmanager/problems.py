"""Every error this service answers with, as RFC 9457 problem details.

`code` is stable and for programs, `detail` is for people. Nothing that a client sent is echoed, and what a
5xx tells is generic: its cause is in the log, under the same request id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(
        description="Where: a JSON pointer into the body (RFC 6901), or the name of the parameter or header",
        examples=["#/tags/3"],
    )
    detail: str
    code: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid_request"])
    title: str = Field(
        description="The name of the status; where the database schema does not fit, what is wrong in a few words",
        examples=["Unprocessable Content"],
    )
    status: int = Field(examples=[422])
    detail: str = Field(description="For people; may change")
    code: str = Field(description="For programs; does not change", examples=["invalid_request"])
    instance: str = Field(description="The path of the request")
    request_id: str = Field(description="The log knows the request by it")
    errors: list[Fault] = Field(default_factory=list, description="Each fault of a request that is not valid")
    # Beside the verdict of the schema gate alone (migration_gate.gate), and left out of every other problem.
    database_revisions: list[str] = Field(
        default_factory=list,
        description="Where the database schema does not fit: the revisions that the database is at",
        examples=[["3a5c8f17e2d4"]],
    )
    code_heads: list[str] = Field(
        default_factory=list,
        description="Where the database schema does not fit: the revisions that the code needs",
        examples=[["d6718b0e94ac"]],
    )
    solution: str = Field(
        default_factory=str,
        description="Where the database schema does not fit: the command that an operator types, or what else to do",
        examples=["alembic upgrade head"],
    )


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


class MalformedHeader(ProblemError):
    """A header of the request cannot be read. `fault` is the end of a sentence that begins with the header's name."""

    status = HTTPStatus.BAD_REQUEST
    code = "malformed_header"

    def __init__(self, header: str, fault: str) -> None:
        super().__init__(f"{header} {fault}.")


class PreconditionFailed(ProblemError):
    """The resource is in another state than the request's If-Match names."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


# RFC 5789, section 3.1: who is refused the media type of a patch is told those that are taken.
PATCH_MEDIA_TYPES = ("application/merge-patch+json", "application/json")
_ACCEPT_PATCH = {"Accept-Patch": ", ".join(PATCH_MEDIA_TYPES)}


class NoPatchMediaType(ProblemError):
    """The body of a PATCH is of no media type that says how it is to be applied."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"
    headers: ClassVar[Mapping[str, str]] = _ACCEPT_PATCH

    def __init__(self) -> None:
        super().__init__("A patch must be a merge patch and say so: Content-Type: application/merge-patch+json.")


class DatabaseUnavailable(ProblemError):
    """The database cannot serve this request now; the same request may succeed in a moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "database_unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}


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
    return answer(request, int(error.status), error.code, error.detail, error.headers)


NOTHING_HERE = "There is nothing at this path."
CONTENT_TOO_LARGE = "The body is larger than the 64 KiB that this service takes."

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The body could not be read as JSON in UTF-8.",
    HTTPStatus.NOT_FOUND: NOTHING_HERE,
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; the Allow header lists those it takes.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: CONTENT_TOO_LARGE,
}


# Python 3.13 gives some statuses the names of RFC 9110; a code must not change with the interpreter.
# Nobody raises a plain 400 but FastAPI, for a body that it could not read.
_CODES = {
    HTTPStatus.BAD_REQUEST: "malformed_json",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content_too_large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid_request",
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class
    status = HTTPStatus(error.status_code)
    code = _CODES.get(status, status.name.lower())
    return answer(request, int(status), code, _DETAILS.get(status, status.phrase), error.headers)


# A body of 64 KiB has room for ten thousand faults, and an answer with all of them would be many times as large.
_FAULTS_TOLD = 100


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this class
    faults = error.errors()
    if any(fault["loc"][0] == "body" for fault in faults) and (refusal := _media_type_refusal(request)):
        return await _on_problem(request, refusal)
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request, 400, "malformed_json", _DETAILS[HTTPStatus.BAD_REQUEST])
    errors = [
        {"pointer": _pointer(fault["loc"]), "detail": _sentence(fault), "code": fault["type"]}
        for fault in faults[:_FAULTS_TOLD]
    ]
    return answer(request, 422, "invalid_request", "The request is not valid; see errors.", errors=errors)


class _NotJson(ProblemError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


def is_patch_media_type(content_type: str | None) -> bool:
    """Does this Content-Type say that the body is a merge patch (RFC 7396)? Plain JSON counts as one."""
    return _media_type(content_type) in PATCH_MEDIA_TYPES


def _media_type_refusal(request: Request) -> ProblemError | None:
    content_type = request.headers.get("content-type")
    if request.method == "PATCH":
        return None if is_patch_media_type(content_type) else NoPatchMediaType()
    media_type = _media_type(content_type)
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return None
    return _NotJson("The body must be JSON and say so: Content-Type: application/json.")


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


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
