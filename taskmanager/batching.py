"""Requests that ask the same of the database at the same time are asked together, in one statement.

Nobody waits for company: a request that comes alone is asked alone and at once. While `AT_ONCE` statements of a kind
are on their way the next requests gather, and go together as soon as one has come back. So the load itself makes the
batches, and a client that is acknowledged reads what it wrote: what gathers is asked after its last request came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import asyncpg

from taskmanager.problems import DatabaseUnavailable

# Two, so that one slow answer does not hold everybody up. With 32 clients on two cores one statement at once gave
# 19,800 POST/s, two 17,300, eight 11,800, and a statement for each request 8,100.
AT_ONCE = 2

# What a batch holds in memory, and what its statement may take, stays small whatever waits.
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
    rows: each item's row among those that came back, None where it has none; in the order of the items.
    """

    sql: str
    arguments: Callable[[Sequence[Item]], tuple[object, ...]]
    rows: Callable[[Sequence[Item], list[asyncpg.Record]], list[Row]]


class Batcher(Generic[Item]):
    """The requests of one statement.

    Parameters
    ----------
    statement: what is asked.
    ask: runs it, `ask(sql, *arguments, asked=…)`, where `asked` is the monotonic second from which the time runs
        within which a client is answered.
    """

    def __init__(
        self, statement: BatchStatement[Item], ask: Callable[..., Coroutine[Any, Any, list[asyncpg.Record]]]
    ) -> None:
        self._statement = statement
        self._ask = ask
        self._on_their_way = 0
        self._waiting: list[_Waiting[Item]] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def row(self, item: Item) -> Row:
        """The item's row.

        Raises
        ------
        DatabaseUnavailable, asyncpg.PostgresError, ValueError: as `Database.row`; a fault of another item is not told.
        """
        if self._on_their_way >= AT_ONCE:
            waiting = _Waiting(item, asyncio.get_running_loop().create_future(), time.monotonic())
            self._waiting.append(waiting)
            return await waiting.row
        self._on_their_way += 1
        try:
            return (await self._rows([item], time.monotonic()))[0]
        finally:
            self._on_their_way -= 1
            self._send_on()

    async def _rows(self, items: list[Item], asked: float) -> list[Row]:
        statement = self._statement
        return statement.rows(items, await self._ask(statement.sql, *statement.arguments(items), asked=asked))

    def _send_on(self) -> None:
        """Let those go together who gathered in the meantime, but for those who have left."""
        waiting = [waiting for waiting in self._waiting if not waiting.row.done()]
        batch, self._waiting = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        if batch:
            self._on_their_way += 1
            task = asyncio.get_running_loop().create_task(self._go(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _go(self, batch: list[_Waiting[Item]]) -> None:
        try:
            await self._answer(batch)
        finally:
            self._on_their_way -= 1
            self._send_on()

    async def _answer(self, batch: list[_Waiting[Item]]) -> None:
        try:
            rows = await self._rows([waiting.item for waiting in batch], batch[0].since)
        except DatabaseUnavailable as error:
            for waiting in batch:
                waiting.fail(DatabaseUnavailable(*error.args))
        except Exception as error:  # noqa: BLE001  whatever it is, it is told to those who asked
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                # Nothing was done: a statement is made whole or not at all. Whose fault it is, each learns alone.
                for waiting in batch:
                    await self._answer([waiting])
        except BaseException:
            for waiting in batch:
                waiting.row.cancel()
            raise
        else:
            for waiting, row in zip(batch, rows, strict=True):
                if not waiting.row.done():
                    waiting.row.set_result(row)


@dataclass(slots=True)
class _Waiting(Generic[Item]):
    item: Item
    row: asyncio.Future[Row]
    since: float

    def fail(self, error: Exception) -> None:
        if not self.row.done():
            self.row.set_exception(error)
