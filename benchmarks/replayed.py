"""The service's own statements with the arguments that it gives them, for pgbench to replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.cells import GET_50, GET_ONE, NEW_TASK, POST
from taskmanager.tasks import statements
from taskmanager.tasks.listing import ListParameters
from taskmanager.tasks.schemas import Priority, Status

# Stands for an id of the table, another one each time; alone in an array.
RANDOM_ID: Any = object()


@dataclass(frozen=True)
class Statement:
    """SQL with $1, $2, …, and what stands for each."""

    sql: str
    arguments: tuple[object, ...]


def replayed_statements() -> dict[str, Statement]:
    """The statement that the service runs for each cell, where nobody else asks at the same time."""
    newest = ListParameters(limit=50).question
    tags: list[str] = []
    new_task: statements.Columns = (
        NEW_TASK["title"],
        NEW_TASK["description"],
        str(Status.TODO),
        Priority.NORMAL.rank,
        None,
        tags,
    )
    return {
        GET_ONE: Statement(statements.GET_TASK.sql, statements.GET_TASK.arguments([RANDOM_ID])),
        GET_50: Statement(newest.sql, newest.arguments),
        POST: Statement(statements.CREATE_TASK.sql, statements.CREATE_TASK.arguments([new_task])),
    }
