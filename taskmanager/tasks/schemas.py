"""What clients send and get."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

TITLE_LONGEST = 200
DESCRIPTION_LONGEST = 10_000
TAG_LONGEST = 50
TAGS_MOST = 20
LARGEST_ID = 2**63 - 1

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)

# Bounds that leave room for every offset on both sides: PostgreSQL and Python agree in between.
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


# For the description alone, in JSON Schema's regular expressions: what checks it is below, and faster. What str.strip()
# takes for a blank is spelled out, as those languages that have `\s` do not agree on it.
_BLANK = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TEXT: dict[str, Any] = {"pattern": r"^[^\u0000]*$"}
TEXT_NOT_BLANK: dict[str, Any] = {"pattern": rf"^[^\u0000]*[^\u0000{_BLANK}][^\u0000]*$"}


class Status(StrEnum):
    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """The number that the database stores, so that priorities sort."""
        return _RANKS[self]


_RANKS = {Priority.LOW: 1, Priority.NORMAL: 2, Priority.HIGH: 3}


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "Text must not hold the NUL character (U+0000)")
    return text


def _trimmed(text: Any) -> Any:
    return text.strip() if isinstance(text, str) else text


def _moment(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise PydanticCustomError(
            "rfc_3339", "A time must be text as in RFC 3339, with an offset: 2026-03-31T18:00:00Z"
        )
    return value


def _distinct(tags: list[str]) -> list[str]:
    """The tags, each of which stands there once. Refused and not removed: nobody loses a tag without being told."""
    if len(set(tags)) == len(tags):
        return tags
    repeated = PydanticCustomError("repeated_tag", "This tag stands in the list before; leave one of the two out")
    faults = [
        InitErrorDetails(type=repeated, loc=(place,), input=None)
        for place, tag in enumerate(tags)
        if tag in tags[:place]
    ]
    # Raised so, each fault keeps its own place in the list.
    raise ValidationError.from_exception_data("tags", faults, hide_input=True)


def _whole_number(value: Any) -> Any:
    # Python reads 1_000, +1, 1.0, 007 and other alphabets' digits as numbers; an address has one spelling.
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "This must be a whole number, written in digits alone")
    return value


Title = Annotated[
    str,
    Field(
        strict=True,
        min_length=1,
        max_length=TITLE_LONGEST,
        examples=["Ma première tâche"],
        json_schema_extra=TEXT_NOT_BLANK,
    ),
    BeforeValidator(_trimmed),
    AfterValidator(_storable),
]
Description = Annotated[
    str,
    Field(strict=True, max_length=DESCRIPTION_LONGEST, examples=["Test de l'API"], json_schema_extra=_TEXT),
    AfterValidator(_storable),
]
Tag = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=TAG_LONGEST, json_schema_extra=TEXT_NOT_BLANK),
    BeforeValidator(_trimmed),
    AfterValidator(_storable),
]
Tags = Annotated[
    list[Tag],
    Field(max_length=TAGS_MOST, examples=[["maison", "urgent"]], json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
# The bounds are the time's and not the field's: None has no place in an order.
Moment = Annotated[
    Annotated[datetime, Field(ge=_EARLIEST, le=_LATEST)] | None,
    Field(examples=["2026-12-31T18:00:00Z"]),
    BeforeValidator(_moment),
]
# Behind the bounds, which pydantic would not call minimum and maximum otherwise.
IN_DIGITS = BeforeValidator(_whole_number)
StorableText = Annotated[str, AfterValidator(_storable)]
TaskId = Annotated[int, Field(ge=1, le=LARGEST_ID), IN_DIGITS]


class TaskContent(BaseModel):
    """What a client decides about a task. A field that is left out takes its default, on PUT as on POST."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    title: Title
    description: Description = ""
    status: Status = Status.TODO
    priority: Priority = Priority.NORMAL
    due_at: Moment = None
    # Made by a factory: a default that can change would be deep-copied, which takes as long as the rest together.
    tags: Annotated[Tags, Field(default_factory=list, json_schema_extra={"default": []})]


def _without_defaults(schema: dict[str, Any]) -> None:
    # What a patch leaves out stays as it is: to name a default would say that it is reset.
    for member in schema["properties"].values():
        member.pop("default", None)


class TaskPatch(BaseModel):
    """What changes of a task (RFC 7396): what is left out stays, and null returns a field to its default."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra=_without_defaults,
    )

    # The defaults are never stored: `model_fields_set` tells what was sent. A title has none to return to.
    title: Title = ""
    description: Description | None = None
    status: Status | None = None
    priority: Priority | None = None
    due_at: Moment = None
    tags: Tags | None = None


class Task(BaseModel):
    """A task as the API returns it. Times are in UTC."""

    id: int
    title: str
    description: str
    status: Status
    priority: Priority
    due_at: datetime | None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
