"""The database of the request path: a few asyncpg connections, and their faults in HTTP's terms.

asyncpg's own pool would do, and costs more than a statement does: its release makes a task, its acquire a proxy.
Here a request pops a connection from a list and appends it again; it waits only where there is none.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Annotated, Any

import asyncpg
from fastapi import Depends

from migration_gate.postgres.sqlstate import QUERY_CANCELED
from migration_gate.postgres.url import asyncpg_url
from taskmanager import database_connection
from taskmanager.batching import Batcher, BatchStatement, Item
from taskmanager.database_connection import STATEMENT_TIMEOUT_S
from taskmanager.database_errors import PoolTimeout
from taskmanager.database_fault_log import DatabaseFaultLog
from taskmanager.dispatch.direct_route import FromApplication
from taskmanager.observability.database_metrics import DatabaseMetrics, PoolState
from taskmanager.observability.fault import sqlstate_of
from taskmanager.observability.traces import Traces
from taskmanager.problems import DatabaseUnavailable

# A client is told 503 within two seconds of a lost database, whether it waits for a connection or for an answer.
ANSWER_WITHIN_S = 1.7
CONNECT_TIMEOUT_S = 1.4
# Who gathers for longer is not asked for: PostgreSQL's own timeout must come first, after which nothing was done.
_PATIENCE_S = ANSWER_WITHIN_S - STATEMENT_TIMEOUT_S
_SWEEP_INTERVAL_S = 0.1

# Classes and codes of SQLSTATE that pass by themselves: connection, resources, operator intervention,
# deadlock, serialization failure, lock not available.
_PASSING = ("08", "53", "57", "40P01", "40001", "55P03")

_LOST_CONNECTION = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Database:
    """Connections that are opened when they are first needed, so that a service starts without its database.

    Parameters
    ----------
    url: `postgresql://…`, as the role that reads and writes.
    size: connections at most.
    metrics: told of every statement, and of what it met.
    traces: make a span for each statement of a request; None where nothing is traced.
    """

    def __init__(
        self, url: str, size: int, metrics: DatabaseMetrics | None = None, traces: Traces | None = None
    ) -> None:
        self._url = asyncpg_url(url)
        self._size = size
        self._metrics = metrics or DatabaseMetrics()
        self._traces = traces
        self._idle: list[asyncpg.Connection] = []
        self._open = 0
        # Who waits for a connection, first come first served, and since when.
        self._waiting: deque[tuple[asyncio.Future[asyncpg.Connection], float]] = deque()
        # Which connections are at work, and since when they, or who waited for them, were asked.
        self._at_work: dict[asyncpg.Connection, float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._expired: set[asyncpg.Connection] = set()
        self._all: set[asyncpg.Connection] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._faults = DatabaseFaultLog(self._metrics)
        self._batchers: dict[BatchStatement[Any], Batcher[Any]] = {}

    async def close(self) -> None:
        """Close every connection, without waiting for a server that does not answer."""
        for task in self._background:
            task.cancel()
        if self._sweep is not None:
            self._sweep.cancel()
        self._faults.close()
        connections, self._all, self._idle = list(self._all), set(), []
        await asyncio.gather(*(database_connection.close(connection) for connection in connections))

    def renew(self) -> None:
        """Let go of connections that planned their statements before the schema changed, those in use once they are
        given back."""
        self._expired |= self._all
        idle, self._idle = self._idle, []
        for connection in idle:
            self._part_with(connection)

    def pool_state(self) -> PoolState:
        """How the connections stand now."""
        waiting = sum(1 for future, _ in self._waiting if not future.done())
        return PoolState(idle=len(self._idle), used=self._open - len(self._idle), most=self._size, waiting=waiting)

    async def row(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        """Run one statement and return its first row. Raises what `rows` does."""
        rows = await self.rows(sql, *arguments)
        return rows[0] if rows else None

    async def row_of(self, statement: BatchStatement[Item], item: Item) -> asyncpg.Record | None:
        """The row of one item, whose statement is run for those who ask at the same time too. Raises what `rows` does;
        what is wrong with another item is no matter."""
        batcher = self._batchers.get(statement)
        if batcher is None:
            batcher = self._batchers[statement] = Batcher(statement, self._rows, _PATIENCE_S)
        if self._traces is not None:
            # A statement of many requests belongs to no one's trace: each sees how long its own row took.
            return await self._traces.statement(statement.sql, batcher.row(item))
        return await batcher.row(item)

    def rows(
        self, sql: str, *arguments: object, asked: float | None = None
    ) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        """Run one statement and return its rows.

        Parameters
        ----------
        asked: the monotonic second at which it was asked for, if that was before now.

        Raises
        ------
        DatabaseUnavailable: no connection could be had, or PostgreSQL could not serve it now.
        asyncpg.PostgresError: the statement itself is at fault, a table that is not there, say.
        ValueError: an argument does not fit its parameter.
        """
        work = self._rows(sql, *arguments, asked=asked)
        return work if self._traces is None else self._traces.statement(sql, work)

    async def _rows(self, sql: str, *arguments: object, asked: float | None = None) -> list[asyncpg.Record]:
        connection = None
        metrics = self._metrics
        if asked is None:
            asked = time.monotonic()
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    break
                self._forget(connection)
                connection = None
            if connection is None:
                wanted = time.monotonic()
                connection = await self._wait_for_connection(asked)
                began = time.monotonic()
                metrics.waits.observe(began - wanted)
            else:
                began = time.monotonic()
                metrics.waits.observe(0.0)
            self._at_work[connection] = asked
            self._sweep_soon()
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            metrics.took(sql, time.monotonic() - began)
        except asyncpg.PostgresError as error:
            self._faults.met(error, sql)
            if connection is not None:
                self._give_back(connection)
                # Who is refused a connection, by a password say, has no statement that could be at fault.
                if not (error.sqlstate or "").startswith(_PASSING):
                    raise
            raise self._unavailable(error) from error
        except ValueError as error:
            if connection is not None:
                # asyncpg's word for a value that does not fit its parameter; an error of its interface by class.
                self._give_back(connection)
                raise
            # So far nothing has a parameter. Python calls the server's certificate a wrong value too.
            self._faults.met(error, sql)
            raise self._unavailable(error) from error
        except _LOST_CONNECTION as error:
            self._faults.met(error, sql)
            if connection is not None:
                self._abandon(connection)
            raise self._unavailable(error) from error
        except BaseException:
            # Cancelled in the middle of a statement, whose answer nobody will read.
            if connection is not None:
                self._abandon(connection)
            raise
        self._give_back(connection)
        if self._faults:
            self._faults.ended()
        return rows

    def _sweep_soon(self) -> None:
        """Have a look taken within a tenth of a second; the one that is due already will do."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_INTERVAL_S, self._end_what_takes_too_long)

    def _end_what_takes_too_long(self) -> None:
        """One look at all, every tenth of a second: a timer for each statement costs more than it guards."""
        now = time.monotonic()
        for connection, asked in list(self._at_work.items()):
            if now - asked > ANSWER_WITHIN_S:
                connection.terminate()  # whoever waits for its answer learns that the connection is lost
        while self._waiting and (self._waiting[0][0].done() or now - self._waiting[0][1] > CONNECT_TIMEOUT_S):
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(PoolTimeout())
        for batcher in self._batchers.values():
            if batcher.is_stalled(self._size // 2):
                self._let_past(batcher)
        self._sweep = None
        if self._at_work or self._waiting:
            self._sweep_soon()

    def _let_past(self, stalled: Batcher[Any]) -> None:
        """Let those go who gather behind statements that stall, once there is an open connection: to open one, or to
        wait for one, would use up the time that their own statement may take."""
        if self._idle:
            stalled.send_gathered()
        elif self._open < self._size:
            self._spawn(self._open_another())

    async def _wait_for_connection(self, asked: float) -> asyncpg.Connection:
        if self._open < self._size:
            return await self._connect(CONNECT_TIMEOUT_S - (time.monotonic() - asked))
        future: asyncio.Future[asyncpg.Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, asked))
        self._sweep_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())
            raise

    async def _connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> asyncpg.Connection:
        if timeout_s <= 0:
            raise TimeoutError
        self._open += 1
        try:
            connection = await database_connection.connect(self._url, timeout_s)
        except BaseException as error:
            self._open -= 1
            if not isinstance(error, Exception):
                self._serve_next_waiting()
            elif self._open == 0:
                self._refuse_all_waiting(error)
            raise
        self._all.add(connection)
        return connection

    def _give_back(self, connection: asyncpg.Connection) -> None:
        self._at_work.pop(connection, None)
        if self._expired and connection in self._expired:
            self._part_with(connection)
            return
        if self._waiting and connection.is_closed():
            self._forget(connection)
            return
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_result(connection)
                return
        self._idle.append(connection)

    def _abandon(self, connection: asyncpg.Connection) -> None:
        connection.terminate()
        self._forget(connection)

    def _part_with(self, connection: asyncpg.Connection) -> None:
        self._forget(connection)
        self._spawn(database_connection.close(connection))

    def _forget(self, connection: asyncpg.Connection) -> None:
        self._open -= 1
        self._at_work.pop(connection, None)
        self._all.discard(connection)
        self._expired.discard(connection)
        self._serve_next_waiting()

    def _serve_next_waiting(self) -> None:
        """There is room for one more connection: somebody may be waiting for it."""
        if any(not future.done() for future, _ in self._waiting):
            self._spawn(self._open_another())

    async def _open_another(self) -> None:
        if self._open >= self._size:  # a request was faster, and gives its connection to who waits
            return
        try:
            connection = await self._connect()
        except (asyncpg.PostgresError, *_LOST_CONNECTION):
            return  # whoever waits is told by the expiry of its own wait, or by _refuse_all_waiting
        self._give_back(connection)

    def _refuse_all_waiting(self, error: Exception) -> None:
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionError(type(error).__name__))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        if sqlstate_of(error) != QUERY_CANCELED:  # of one statement; the database is there
            self._faults.refused(error)
        return DatabaseUnavailable("The database cannot serve this request now. Try again in a moment.")


CurrentDatabase = Annotated[Database, Depends(FromApplication("database"))]
