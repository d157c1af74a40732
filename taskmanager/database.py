"""The database of the request path: an asyncpg pool, and its faults in HTTP's terms."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Request

from migration_gate.postgres.url import asyncpg_url
from taskmanager.problems import DatabaseUnavailable

logger = logging.getLogger(__name__)

# How long a request waits for a connection. A client is told 503 within two seconds of a lost database.
ACQUIRE_TIMEOUT_S = 1.5

# How long a statement may go without an answer. Above the server's own statement_timeout, which tells
# more; this one is for a server that cannot even tell that: a network that swallows every byte.
SILENCE_TIMEOUT_S = 6.0

# No statement ever sets session state, so there is none to reset: settings stand in the connection's start.
_SESSION = {
    "application_name": "taskmanager",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
}

# Classes and codes of SQLSTATE that pass by themselves: connection, resources, operator intervention,
# deadlock, serialization failure, lock not available.
_PASSING = ("08", "53", "57", "40P01", "40001", "55P03")

_LOST_CONNECTION = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Database:
    """A pool that connects when it is first needed, so that a service starts without its database.

    Parameters
    ----------
    url: `postgresql://…`, as the role that reads and writes.
    size: connections at most.
    """

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Make the pool. Nothing is connected yet."""
        self._pool = await asyncpg.create_pool(
            asyncpg_url(self._url),
            min_size=0,
            max_size=self._size,
            timeout=ACQUIRE_TIMEOUT_S,
            command_timeout=SILENCE_TIMEOUT_S,
            server_settings=_SESSION,
            init=_opened,
            reset=_no_reset,
        )

    async def close(self) -> None:
        """Close every connection, without waiting for a server that does not answer."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(2):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    async def renew(self) -> None:
        """Let go of connections that planned their statements before the schema changed."""
        if self._pool is not None:
            await self._pool.expire_connections()

    async def row(self, sql: str, *arguments: object) -> tuple[Any, ...] | None:
        """Run one statement and return its first row.

        Raises
        ------
        DatabaseUnavailable: no connection could be had, or PostgreSQL could not serve it now.
        asyncpg.PostgresError: the statement itself is at fault, a table that is not there, say.
        """
        assert self._pool is not None  # noqa: S101  opened in the application's lifespan
        connection = None
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
            try:
                row = await connection.fetchrow(sql, *arguments)
            finally:
                await self._pool.release(connection)
        except asyncpg.PostgresError as error:
            # Who is refused a connection, by a password say, has no statement that could be at fault.
            if connection is not None and not (error.sqlstate or "").startswith(_PASSING):
                raise
            raise _unavailable(error) from error
        except _LOST_CONNECTION as error:
            raise _unavailable(error) from error
        return None if row is None else tuple(row)


def _unavailable(error: BaseException) -> DatabaseUnavailable:
    fields = {"exception.type": type(error).__name__, "db.response.status_code": getattr(error, "sqlstate", None)}
    logger.warning("database unavailable", extra=fields)
    return DatabaseUnavailable("The database cannot serve this request now. Try again in a moment.")


async def _opened(connection: asyncpg.Connection) -> None:
    pid = connection.get_server_pid()
    logger.info("database connection opened", extra={"db.server_pid": pid})
    connection.add_termination_listener(
        lambda _: logger.info("database connection ended", extra={"db.server_pid": pid})
    )


async def _no_reset(_: object) -> None:
    """Return a connection to the pool as it is."""


def current_database(request: Request) -> Database:
    """The database of the application that serves this request."""
    database: Database = request.app.state.database
    return database


CurrentDatabase = Annotated[Database, Depends(current_database)]
