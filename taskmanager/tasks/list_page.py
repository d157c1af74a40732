"""A question to the database, and the page that is made of its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import asyncpg

from taskmanager.database import Database
from taskmanager.json_text import JsonText
from taskmanager.problems import DatabaseUnavailable, ProblemError
from taskmanager.tasks import cursor
from taskmanager.tasks.cursor import FOREVER, Key
from taskmanager.tasks.schemas import Priority


class QueryTooBroad(ProblemError):
    """A search matches more tasks than can be put in order in the time that a statement has."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "query_too_broad"

    def __init__(self) -> None:
        super().__init__(
            "Too many tasks match q or tag to be put in order in time. Ask for more words, or for a rarer tag; a list "
            "without either is read in the order of an index, however many tasks there are."
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A list statement with its arguments, which ask for one task more than a page has.

    Parameters
    ----------
    limit: how many tasks the page has at most.
    time: the field that the list is ordered by, or by which it orders what is equal otherwise.
    fingerprint: of the list, for its cursors.
    address: of the list, up to where the cursor goes.
    is_search: whether what is read grows with the tasks that match.
    """

    sql: str
    arguments: tuple[object, ...]
    limit: int
    time: str
    fingerprint: bytes
    address: str
    is_search: bool

    async def ask(self, database: Database) -> JsonText:
        """The page, and in its Link header the address of the next one, if there is one.

        Raises
        ------
        QueryTooBroad: a search ran into the statement timeout.
        DatabaseUnavailable: the database cannot answer now.
        """
        try:
            row = await database.row(self.sql, *self.arguments)
        except DatabaseUnavailable as error:
            if self.is_search and isinstance(error.__cause__, asyncpg.QueryCanceledError):
                raise QueryTooBroad from error
            raise
        assert row is not None  # noqa: S101  an array is always made, if of nothing
        tasks, number = row
        if number <= self.limit:
            return JsonText(tasks)
        # Inside a JSON string every quote is escaped, so these marks can only begin a task.
        end = tasks.rfind(',{"id":')
        last = json.loads(tasks[tasks.rfind('{"id":', 0, end) : end])
        after = cursor.encode(self._key(last), self.fingerprint)
        return JsonText(tasks[:end] + "]", headers=((b"link", f'<{self.address}cursor={after}>; rel="next"'.encode()),))

    def _key(self, task: dict[str, Any]) -> Key:
        time = task[self.time]
        moment = FOREVER if time is None else datetime.fromisoformat(time)
        return Key(Priority(task["priority"]).rank, moment, task["id"])
