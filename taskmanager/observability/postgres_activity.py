"""What PostgreSQL says of itself, read every two seconds on a connection of its own.

It needs no privilege beyond those of the role that reads and writes: connections are counted, and transactions are told
by the lock that each of them holds on its own virtual id (PostgreSQL's manual, the view pg_locks), which everybody may
see, and timed by this process from when it first saw them. So it works on a server that is somebody else's, without an
exporter beside it. A connection of its own, since a pool that is used up is what these figures must explain.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migration_gate.postgres.url import asyncpg_url

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0
TIMEOUT_S = 1.5
# It walks the database's files.
SIZE_EVERY_S = 60.0

_SESSION = {"application_name": "taskmanager-activity", "statement_timeout": "1000", "lock_timeout": "500"}

# Of background processes the view knows no user. A vacuum or the making of an index may take hours, and harms nobody.
_ACTIVITY = """
SELECT (SELECT count(usesysid) FROM pg_stat_activity) AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections_max,
       (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted) AS lock_waiters,
       (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()) AS deadlocks,
       (SELECT array_agg(pid || ' ' || virtualxid) FROM pg_locks
         WHERE locktype = 'virtualxid' AND granted AND mode = 'ExclusiveLock' AND pid <> pg_backend_pid()
           AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum UNION SELECT pid FROM pg_stat_progress_analyze
                           UNION SELECT pid FROM pg_stat_progress_create_index)) AS transactions
"""
_SIZE = "SELECT pg_database_size(current_database())"


class PostgresActivity(Collector):
    """Reads it for as long as `run` runs, and tells what it read last; NaN where that is too old to be true.

    Parameters
    ----------
    url: `postgresql://…`, as the role that reads and writes.
    """

    def __init__(self, url: str) -> None:
        self._url = asyncpg_url(url)
        self._connection: asyncpg.Connection | None = None
        self._seen: asyncpg.Record | None = None
        self._size_bytes = math.nan
        self._size_asked_at = -math.inf
        self._deadlocks: int | None = None
        # Transactions by process and virtual id, and since when they are known.
        self._transactions: dict[str, float] = {}
        self._told = False
        self._size_told = False

    async def run(self) -> None:
        """Read for ever. Ends only by cancellation, and closes its connection then."""
        try:
            while True:
                await self._read_or_forget()
                if self._connection is not None and time.monotonic() - self._size_asked_at >= SIZE_EVERY_S:
                    await self._measure_or_forget(self._connection)
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._hang_up()

    async def _read_or_forget(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._read()
        except Exception as error:  # noqa: BLE001  these figures must never be what ends a service
            self._seen = None
            self._hang_up()
            if not self._told:
                logger.warning("the database's activity cannot be read", extra={"exception.type": type(error).__name__})
            self._told = True
        else:
            self._told = False

    async def _read(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._url, server_settings=_SESSION, statement_cache_size=0)
        (row,) = await self._connection.fetch(_ACTIVITY)
        now = time.monotonic()
        self._transactions = {each: self._transactions.get(each, now) for each in row["transactions"] or ()}
        self._deadlocks = row["deadlocks"]
        self._seen = row

    async def _measure_or_forget(self, connection: asyncpg.Connection) -> None:
        """Apart from the rest: a database whose size takes longer than the timeout must not blind the other figures."""
        # Before it is asked for, so that one that cannot be read costs its time once a pause and not at every look.
        self._size_asked_at = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._size_bytes = float(await connection.fetchval(_SIZE))
        except Exception as error:  # noqa: BLE001  as above
            self._size_bytes = math.nan
            # A statement that was given up may still be at work on it.
            self._hang_up()
            if not self._size_told:
                logger.warning("the database's size cannot be read", extra={"exception.type": type(error).__name__})
            self._size_told = True
        else:
            self._size_told = False

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def collect(self) -> Iterator[Metric]:
        yield self._gauge("connections", "Sessions that the server has.", self._value("connections"))
        yield self._gauge(
            "connections_max", "Sessions that the server grants to ordinary roles.", self._value("connections_max")
        )
        yield self._gauge("lock_waiters", "Sessions that wait for a lock.", self._value("lock_waiters"))
        yield self._gauge(
            "longest_transaction_seconds",
            "For how long the oldest open transaction has been known.",
            self._longest_transaction_s(),
        )
        yield self._gauge("database_size_bytes", "Size of the database.", self._size_bytes if self._seen else math.nan)
        deadlocks = CounterMetricFamily("taskmanager_postgres_deadlocks", "Deadlocks that the server has resolved.")
        # A counter that began with NaN would spoil every rate over it; it begins with the first answer.
        if self._deadlocks is not None:
            deadlocks.add_metric((), self._deadlocks)
        yield deadlocks

    def _value(self, column: str) -> float:
        return float(self._seen[column]) if self._seen is not None else math.nan

    def _longest_transaction_s(self) -> float:
        if self._seen is None:
            return math.nan
        now = time.monotonic()
        return max((now - since for since in self._transactions.values()), default=0.0)

    @staticmethod
    def _gauge(name: str, documentation: str, value: Any) -> Metric:
        return GaugeMetricFamily(f"taskmanager_postgres_{name}", documentation, value=value)
