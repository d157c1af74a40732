"""The parameters of the list, and the question that they are to the database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from taskmanager.tasks import cursor
from taskmanager.tasks.cursor import FOREVER, Key
from taskmanager.tasks.list_page import Question
from taskmanager.tasks.list_statements import LONGEST_PAGE
from taskmanager.tasks.schemas import (
    IN_DIGITS,
    LARGEST_ID,
    TEXT_NOT_BLANK,
    Moment,
    Priority,
    Status,
    StorableText,
    Tag,
)
from taskmanager.tasks.served_lists import FILTERS, Sort, is_search, statement_for

USUAL_PAGE = 50
LONGEST_SEARCH = 200

# asyncpg's word for PostgreSQL's `-infinity`.
BEGINNING = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_TIME = {Sort.NEWEST: "created_at", Sort.DUE: "due_at", Sort.URGENT: "created_at", Sort.UPDATED: "updated_at"}


def _with_a_word(search: str) -> str:
    if not any(character.isalnum() for character in search):
        raise PydanticCustomError("no_word", "A search needs a letter or a digit")
    return search


def _with_its_plus(value: Any) -> Any:
    """A time as this API tells it, `…T18:00:00+00:00`, copied into an address as it is: there a `+` means a blank."""
    return _OFFSET_AFTER_BLANK.sub(r"+\1", value) if isinstance(value, str) else value


_OFFSET_AFTER_BLANK = re.compile(r" (\d{2}:\d{2})\Z", re.ASCII)


def _never_null(schema: dict[str, Any]) -> None:
    # None stands for a parameter that is left out, and is no value that it can have.
    for value in schema.pop("anyOf", []):
        if value != {"type": "null"}:
            schema.update(value)
    schema.pop("default", None)


def _told(description: str, example: str) -> Any:
    return Field(description=description, examples=[example], json_schema_extra=_never_null)


_MomentInAddress = Annotated[Moment, BeforeValidator(_with_its_plus)]
_Search = Annotated[
    StorableText,
    Field(max_length=LONGEST_SEARCH, json_schema_extra={"minLength": 1} | TEXT_NOT_BLANK),
    AfterValidator(_with_a_word),
]


class ListParameters(BaseModel):
    """What a list is asked for. Nothing is ignored and nothing clamped: what is not known or not valid is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: Annotated[
        int,
        Field(ge=1, le=LONGEST_PAGE, description="How many tasks a page has at most", examples=[USUAL_PAGE]),
        IN_DIGITS,
    ] = USUAL_PAGE
    cursor: Annotated[
        str | None,
        _told(
            "Where the page begins: taken from the `Link` of the page before",
            "AZY3sE1W3ggXAgAGTlW8YigAAAAAAAAAACroOlxP",
        ),
    ] = None
    sort: Annotated[
        Sort,
        Field(
            description="`-created_at`: newest first. `due_at`: soonest due first, those without a due time last. "
            "`-priority`: highest first, and newest first among equals. `-updated_at`: last changed first.",
            examples=[Sort.DUE],
        ),
    ] = Sort.NEWEST
    status: Annotated[Status | None, _told("Tasks in this status", Status.TODO)] = None
    priority: Annotated[Priority | None, _told("Tasks of this priority", Priority.HIGH)] = None
    due_after: Annotated[
        _MomentInAddress, _told("Tasks due later than this; none without a due time", "2026-01-01T00:00:00Z")
    ] = None
    due_before: Annotated[
        _MomentInAddress, _told("Tasks due sooner than this; none without a due time", "2026-12-31T18:00:00Z")
    ] = None
    updated_since: Annotated[_MomentInAddress, _told("Tasks made or changed then or later", "2026-01-01T00:00:00Z")] = (
        None
    )
    tag: Annotated[Tag | None, _told("Tasks with this tag", "urgent")] = None
    q: Annotated[
        _Search | None,
        _told("Tasks with all of these words in title or description: whole words, in any case", "certificat"),
    ] = None

    _after: Key | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read_cursor(self) -> Self:
        if self.cursor is not None:
            try:
                self._after = cursor.decode(self.cursor, self._fingerprint)
            except cursor.CursorError as error:
                kind = PydanticCustomError(error.code, str(error))
                fault = InitErrorDetails(type=kind, loc=("cursor",), input=None)
                # Raised so, it is told of the parameter and not of all of them.
                raise ValidationError.from_exception_data("cursor", [fault], hide_input=True) from None
        return self

    @cached_property
    def question(self) -> Question:
        """The statement that answers, with its arguments. Made once: the same parameters come again and again.

        Raises
        ------
        CombinationNotServed
        """
        asked = [name for name in FILTERS if getattr(self, name) is not None]
        statement, arguments = statement_for(self.sort, asked), self._arguments()
        return Question(
            sql=statement.sql,
            arguments=tuple(arguments[name] for name in statement.parameters),
            limit=self.limit,
            time=_TIME[self.sort],
            fingerprint=self._fingerprint,
            address="/tasks?" + "".join(f"{pair}&" for pair in self._given("limit", "sort", *FILTERS)),
            is_search=is_search(asked),
        )

    def _arguments(self) -> dict[str, object]:
        """What every statement parameter is. Strict bounds become inclusive ones, a microsecond further in."""
        after = self._after or self._before_all()
        rank = None if self.priority is None else self.priority.rank
        due_asked = self.due_after is not None or self.due_before is not None
        return {
            "rows": self.limit + 1,
            "after_priority": rank or after.priority,
            "after_time": after.time,
            "after_id": after.id,
            "status": self.status,
            "priority": rank,
            "least_priority": rank or Priority.LOW.rank,
            "due_from": BEGINNING if self.due_after is None else self.due_after + _MICROSECOND,
            # Later than every due time, and sooner than the infinity that stands for none.
            "due_until": (self.due_before or FOREVER) - _MICROSECOND if due_asked else FOREVER,
            "updated_since": self.updated_since or BEGINNING,
            "words": self.q,
            "tag": self.tag,
        }

    def _before_all(self) -> Key:
        """The key after which the first page begins."""
        if self.sort is not Sort.DUE:
            return Key(Priority.HIGH.rank + 1, FOREVER, LARGEST_ID)
        return Key(0, BEGINNING, 0) if self.due_after is None else Key(0, self.due_after, LARGEST_ID)

    @cached_property
    def _fingerprint(self) -> bytes:
        return cursor.fingerprint("&".join([f"sort={self.sort}", *self._given(*FILTERS)]))

    def _given(self, *names: str) -> list[str]:
        """Of these parameters those that were given, each as a query string has it."""
        return [urlencode({n: _text(getattr(self, n))}, safe=":") for n in names if n in self.model_fields_set]


def _text(value: object) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
