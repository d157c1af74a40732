"""Requests that ask the same of the database at the same time are asked together, in one statement.

Nobody waits for company: a request that comes alone is asked alone and at once. While `AT_ONCE` statements of a kind
are on their way the next requests gather, and go together as soon as one has come back. So the load itself makes the
batches, and a client that is acknowledged reads what it wrote: what gathers is asked after its last request came.

Where statements stall, behind a lock or a disk, those who gather do not wait for them for long: they go beside them.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import asyncpg

from taskmanager.problems import DatabaseUnavailable

# Two, so that one slow answer does not hold everybody up (docs/adr/0013 has what other numbers give).
AT_ONCE = 2

# Who has gathered for so long stands behind statements that stall, and goes beside them; sooner than it is refused.
STALLED_S = 0.1

TOO_LATE = "The database is too slow now to serve this request in time. Nothing was done. Try again in a moment."

# The most requests that one statement serves, so that its time and its data stay bounded however many callers wait:
# whoever is beyond this number goes with the next one.
MOST_TOGETHER = 64

Item = TypeVar("Item")
Row = asyncpg.Record | None


@dataclass(frozen=True, eq=False)
class BatchStatement(Generic[Item]):
    """A statement that serves one request or many.

    Parameters
    ----------
    sql: with one array a parameter, in which each request has its place.
    arguments: the arrays of the requests' items.
    rows: each item's row among those that came back, None where it has none; in the order of the items. Raises where it
        cannot tell whose row is whose.
    """

    sql: str
    arguments: Callable[[Sequence[Item]], tuple[object, ...]]
    rows: Callable[[Sequence[Item], list[asyncpg.Record]], Sequence[Row]]


class Batcher(Generic[Item]):
    """The requests of one statement.

    Parameters
    ----------
    statement: what is asked.
    ask: runs it, `ask(sql, *arguments, asked=…)`, where `asked` is the monotonic second from which the time runs
        within which a client is answered.
    patience_s: who has gathered for longer is refused and not asked for. What is left of its time would be less than a
        statement may take: its client could be told 503 while the statement goes on, and is made.
    """

    def __init__(
        self,
        statement: BatchStatement[Item],
        ask: Callable[..., Coroutine[Any, Any, list[asyncpg.Record]]],
        patience_s: float,
    ) -> None:
        self._statement = statement
        self._ask = ask
        self._patience_s = patience_s
        self._on_their_way = 0
        self._waiting: list[_Waiting[Item]] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def row(self, item: Item) -> Row:
        """The item's row.

        Raises
        ------
        DatabaseUnavailable, asyncpg.PostgresError, ValueError: as `Database.rows`. What is wrong with one item is told
            to that one alone; that the database cannot serve, to all who were asked together.
        """
        if self._on_their_way >= AT_ONCE:
            waiting = _Waiting(item, asyncio.get_running_loop().create_future(), time.monotonic())
            self._waiting.append(waiting)
            return await waiting.row
        self._on_their_way += 1
        try:
            rows = await self._ask(self._statement.sql, *self._statement.arguments([item]), asked=time.monotonic())
            return self._statement.rows([item], rows)[0]
        finally:
            self._came_back()

    def is_stalled(self, most: int) -> bool:
        """Whether some have gathered for long behind statements on their way, of which there are fewer than `most`."""
        return (
            bool(self._waiting) and self._on_their_way < most and time.monotonic() - self._waiting[0].since > STALLED_S
        )

    def send_gathered(self) -> None:
        """Send those who gathered in the meantime, but for those who have left."""
        waiting = [waiting for waiting in self._waiting if not waiting.row.done()]
        batch, self._waiting = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        if batch:
            self._on_their_way += 1
            # A context of its own, or what is logged meanwhile would bear the id of the request that came back.
            task = asyncio.get_running_loop().create_task(self._go(batch), context=contextvars.Context())
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _came_back(self) -> None:
        self._on_their_way -= 1
        if self._on_their_way < AT_ONCE:
            self.send_gathered()

    async def _go(self, batch: list[_Waiting[Item]]) -> None:
        try:
            await self._answer(batch)
        finally:
            for waiting in batch:
                waiting.row.cancel()  # where nobody has answered, since this task was cancelled
            self._came_back()

    async def _answer(self, batch: list[_Waiting[Item]]) -> None:
        batch = self._in_time(batch)
        if not batch:
            return
        items = [waiting.item for waiting in batch]
        try:
            answer = await self._ask(self._statement.sql, *self._statement.arguments(items), asked=batch[0].since)
        except (asyncpg.PostgresError, ValueError) as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                # The statement is at fault, so nothing of it was made. Whose fault it is shows by halves.
                middle = len(batch) // 2
                await self._answer(batch[:middle])
                await self._answer(batch[middle:])
            return
        except Exception as error:  # noqa: BLE001  it may have been made, and is not asked for again
            _fail(batch, error)
            return
        try:
            told = list(zip(batch, self._statement.rows(items, answer), strict=True))
        except Exception as error:  # noqa: BLE001  it was made, and nobody knows whose row is whose
            _fail(batch, error)
            return
        for waiting, row in told:
            if not waiting.row.done():
                waiting.row.set_result(row)

    def _in_time(self, batch: list[_Waiting[Item]]) -> list[_Waiting[Item]]:
        """Those who are still there and not too late; those who are too late are refused."""
        since = time.monotonic() - self._patience_s
        _fail([waiting for waiting in batch if waiting.since < since], DatabaseUnavailable(TOO_LATE))
        return [waiting for waiting in batch if not waiting.row.done()]


@dataclass(slots=True)
class _Waiting(Generic[Item]):
    item: Item
    row: asyncio.Future[Row]
    since: float


def _fail(batch: list[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        if not waiting.row.done():
            # Each its own: an exception that many tasks raise grows by a traceback each.
            own = DatabaseUnavailable(error.detail) if isinstance(error, DatabaseUnavailable) else error
            waiting.row.set_exception(own)
