"""The table as the contract sees it: what each task must look like over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

FIELDS = (
    "id",
    "title",
    "description",
    "status",
    "priority",
    "due_at",
    "tags",
    "created_at",
    "updated_at",
    "completed_at",
)
MOMENTS = frozenset({"due_at", "created_at", "updated_at", "completed_at"})

Task = dict[str, Any]

_TASKS = """
SELECT id, title, description, status, (ARRAY['low', 'normal', 'high'])[priority] AS priority, due_at, tags,
       created_at, updated_at, completed_at
FROM tasks
"""


class Tasks(Protocol):
    """The tasks that are stored, read past the contestant."""

    def one(self, id: int) -> Task | None: ...

    def newest(self, limit: int) -> list[Task]: ...

    def count(self) -> int: ...

    def count_like(self, title: str, description: str) -> int: ...


class TableTasks:
    """The tasks of a table."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def one(self, id: int) -> Task | None:
        found = self._rows("WHERE id = %s", id)
        return found[0] if found else None

    def newest(self, limit: int) -> list[Task]:
        """The order that a list has unless it is asked for another."""
        return self._rows("ORDER BY created_at DESC, id DESC LIMIT %s", limit)

    def count(self) -> int:
        return self._number("SELECT count(*) FROM tasks")

    def count_like(self, title: str, description: str) -> int:
        return self._number("SELECT count(*) FROM tasks WHERE title = %s AND description = %s", title, description)

    def other_connections(self) -> int:
        """Sessions in the same database beside this one: the contestant's pool."""
        return self._number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def _number(self, statement: str, *parameters: object) -> int:
        row = self._connection.execute(statement, parameters).fetchone()
        return int(row[0]) if row else 0

    def _rows(self, rest: str, *parameters: object) -> list[Task]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_TASKS + rest, parameters).fetchall()


def difference(answered: object, stored: Task) -> str | None:
    """Where an answered task differs from the stored one, None where it does not."""
    if not isinstance(answered, dict):
        return f"a task is {type(answered).__name__} and no object"
    if set(answered) != set(FIELDS):
        lacking, extra = sorted(set(FIELDS) - set(answered)), sorted(set(answered) - set(FIELDS))
        return f"a task has not the fields it should have: lacking {lacking}, extra {extra}"
    for field in FIELDS:
        same = _same_moment if field in MOMENTS else _same
        if not same(answered[field], stored[field]):
            return f"task {stored['id']}: {field} is {answered[field]!r}, stored is {stored[field]!r}"
    return None


def _same(answered: object, stored: object) -> bool:
    return type(answered) is type(stored) and answered == stored


def _same_moment(answered: object, stored: datetime | None) -> bool:
    """Text as in RFC 3339 with an offset; JavaScript's dates end at milliseconds, and that is no lie."""
    if stored is None or not isinstance(answered, str):
        return answered is None and stored is None
    try:
        moment = datetime.fromisoformat(answered)
    except ValueError:
        return False
    return moment.tzinfo is not None and abs((moment - stored).total_seconds()) < 0.001
