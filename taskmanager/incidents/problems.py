"""Errors as RFC 9457 problem details. Nothing that a client sent is echoed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}

# The phrases of RFC 9110, which Python gives from 3.13 on.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class ProblemError(Exception):
    """Raise one to answer with a problem. `errors` are the single faults of a body, each with its pointer."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that a problem ended."""
    assert isinstance(error, ProblemError)  # noqa: S101  registered for this class
    content: dict[str, object] = {
        "type": f"/problems/{error.code}",
        "title": _TITLES.get(error.status) or HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "instance": request.url.path,
    }
    if error.errors:
        content["errors"] = error.errors
    return JSONResponse(content, error.status, NO_STORE | error.headers, media_type=MEDIA_TYPE)
