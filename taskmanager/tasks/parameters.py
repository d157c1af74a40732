"""The parameters of the operations on single tasks, and the headers among them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path

from taskmanager.tasks.preconditions import LONGEST_LIST
from taskmanager.tasks.schemas import TaskId

# For the description alone: each is the form that its module reads, `preconditions` or `idempotency`.
_TAG = r'(W/)?"[!#-~\u0080-\u00ff]*"[ \t]*'
_ENTITY_TAGS: dict[str, Any] = {
    "pattern": rf"^[ \t]*(\*[ \t]*|({_TAG})?(,[ \t]*({_TAG})?)*)$",
    "maxLength": LONGEST_LIST,
}
_KEY: dict[str, Any] = {
    "pattern": r"""^[ \t]*("([!#-\[\]-~]|\\["\\]){1,255}"|[A-Za-z0-9!#$%&'*+./:=^_`|~-]{1,255})[ \t]*$"""
}

IdInPath = Annotated[TaskId, Path(description="The task's number", examples=[1])]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="Change the task only if it still is one of these versions, given as entity tags; `*` is any",
        examples=['"1"'],
        json_schema_extra=_ENTITY_TAGS,
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="Answer 304 without a body if the task still is one of these versions, given as entity tags",
        examples=['"1"'],
        json_schema_extra=_ENTITY_TAGS,
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 visible ASCII characters in quotes. For 24 hours, the same request with the same key"
        " makes no second task",
        examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
        json_schema_extra=_KEY,
    ),
]
# OpenAPI tells it by the body's media types.
ContentType = Annotated[str | None, Header(alias="Content-Type", include_in_schema=False)]
