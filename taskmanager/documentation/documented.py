"""What OpenAPI says of answers: the building blocks of every route's `responses=`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from taskmanager.problems import MEDIA_TYPE, PATCH_MEDIA_TYPES

Responses = dict[int | str, dict[str, Any]]


def header(description: str, example: str) -> dict[str, Any]:
    """A header of an answer."""
    return {"description": description, "schema": {"type": "string"}, "example": example}


ETAG = {"ETag": header("The version of the task, for If-Match and If-None-Match", '"3"')}
_RETRY_AFTER = {"Retry-After": header("Seconds to wait before the next attempt", "2")}
_WWW_AUTHENTICATE = {"WWW-Authenticate": header("What kind of key is asked for", 'Bearer realm="taskmanager"')}
_ACCEPT_PATCH = {"Accept-Patch": header("The media types of a patch that are taken", ", ".join(PATCH_MEDIA_TYPES))}

_REFUSALS: dict[HTTPStatus, tuple[str, dict[str, Any]]] = {
    HTTPStatus.BAD_REQUEST: ("A header or the body cannot be read", {}),
    HTTPStatus.UNAUTHORIZED: ("There is no API key, or none that is valid", _WWW_AUTHENTICATE),
    HTTPStatus.FORBIDDEN: ("The API key lacks the scope that this needs", _WWW_AUTHENTICATE),
    HTTPStatus.NOT_FOUND: ("There is no such task", {}),
    HTTPStatus.CONFLICT: ("The task of this Idempotency-Key was deleted since", {}),
    HTTPStatus.PRECONDITION_FAILED: ("The task has another version than If-Match names; nothing was changed", {}),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("The body is larger than 64 KiB", {}),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("The body does not say that it is JSON", {}),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("Something of the request is not valid; `errors` names each fault", {}),
    HTTPStatus.SERVICE_UNAVAILABLE: ("The database or its schema cannot serve this now", _RETRY_AFTER),
}


def never_null(schema: dict[str, Any]) -> None:
    """For `json_schema_extra`: a member that is None in the model is left out of the document, and never null."""
    for member in schema["properties"].values():
        values = [value for value in member.pop("anyOf", ()) if value != {"type": "null"}]
        if values:
            member.pop("default", None)
            member.update(*values)


def problem(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """An answer that is a problem."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})


_OF_EVERY_KEY = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def problems(*statuses: HTTPStatus) -> Responses:
    """The refusals of these statuses, beside those that every operation on tasks has: 400, 401, 403 and 503."""
    always = (*_OF_EVERY_KEY, HTTPStatus.SERVICE_UNAVAILABLE)
    return {int(status): problem(*_REFUSALS[status]) for status in sorted({*statuses, *always})}


METRICS: Responses = {
    200: {
        "description": "All metrics, in the text format of Prometheus",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **{int(status): problem(*_REFUSALS[status]) for status in _OF_EVERY_KEY},
}

UNREADABLE_BODY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

PATCH_REFUSED: Responses = {
    415: problem("The body does not say that it is a merge patch", _ACCEPT_PATCH),
}
