"""Reading the schema's state through psycopg 3, which whoever installs the gate has; PgBouncer may stand between.

Behind a pooler in transaction mode a session is anybody's next: whatever is SET or PREPAREd outside a transaction
would be left to a stranger, and server settings of the start packet are refused. So everything happens in short
transactions that are read-only, set their timeouts with SET LOCAL, and are rolled back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Generator, Mapping
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import pq

from migration_gate.errors import DatabaseUnreachable
from migration_gate.observed import BrokenStatement
from migration_gate.postgres.faults import describe, describe_connect
from migration_gate.postgres.probing import APPLICATION_NAME, LOCK_TIMEOUT, STATEMENT_TIMEOUT, DatabaseProbe, rows_of
from migration_gate.postgres.url import plain_url
from migration_gate.reading import Rows, SqlFault
from migration_gate.statement_proof import proof

_BEGIN = (
    "BEGIN TRANSACTION READ ONLY;"
    f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"
)

# A refused statement must not end the transaction: what was prepared in it is yet to be deallocated.
_SAVEPOINT = "SAVEPOINT migration_gate"
_BACK = "ROLLBACK TO SAVEPOINT migration_gate"

_Result = TypeVar("_Result")


class PsycopgProbe(DatabaseProbe):
    """A `DatabaseProbe` on one psycopg connection: to the server, or to PgBouncer in session or transaction mode."""

    unreachable: ClassVar[tuple[type[Exception], ...]] = (*DatabaseProbe.unreachable, psycopg.Error)

    _connection: psycopg.AsyncConnection[Any] | None = None

    @property
    def _connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    async def _connect(self) -> None:
        # What the transactions do by themselves stays theirs: no BEGIN of psycopg's, nothing prepared on the side.
        connecting = psycopg.AsyncConnection.connect(
            plain_url(self._url), autocommit=True, prepare_threshold=None, application_name=APPLICATION_NAME
        )
        async with asyncio.timeout(self._timeout_s):
            self._connection = await connecting

    async def _read(self, reading: Generator[str, Rows, _Result]) -> _Result:
        async with self._transaction():
            return await self._driven(reading, self._rows)

    async def _proof(self, statements: Mapping[str, str]) -> tuple[BrokenStatement, ...]:
        # A transaction each: one for all would keep a lock on every table until the last is proven.
        broken: tuple[BrokenStatement, ...] = ()
        for name, sql in statements.items():
            broken += await self._read(proof({name: sql}))
        return broken

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        await self._execute(_BEGIN)
        try:
            yield
        except SqlFault:
            await self._execute("ROLLBACK")
            raise
        # After any other fault the session is left as it is, and with it the transaction.
        await self._execute("ROLLBACK")

    @staticmethod
    def _idle_in_transaction(connection: psycopg.AsyncConnection[Any]) -> bool:
        return connection.info.transaction_status in {pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR}

    async def _rows(self, sql: str) -> Rows:
        try:
            cursor = await self._execute(f"{_SAVEPOINT}; {sql}")
        except psycopg.Error as error:
            if error.sqlstate is None or self._connection is None or self._connection.closed:
                raise
            if self._idle_in_transaction(self._connection):
                await self._execute(_BACK)
            raise SqlFault(error.sqlstate, error.diag.message_primary or "") from error
        cursor.nextset()
        return rows_of(await cursor.fetchall()) if cursor.description else []

    async def _execute(self, sql: str) -> psycopg.AsyncCursor[Any]:
        assert self._connection is not None  # noqa: S101  set by the caller
        # Bytes, since a project's statement is no literal of this code, which psycopg's types would ask for.
        return await self._in_time(self._connection, self._connection.execute(sql.encode()))

    async def _in_time(self, connection: psycopg.AsyncConnection[Any], work: Awaitable[_Result]) -> _Result:
        """The result of `work`, or a TimeoutError that comes in time.

        psycopg answers a cancellation by asking the server to cancel, and waits seconds for the answer of a server
        that is dead. To shut the socket ends the statement at once, as a lost server does.
        """
        working = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({working}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            await self._sever(connection, working)
            raise
        if not done:
            await self._sever(connection, working)
            raise TimeoutError
        return working.result()

    @staticmethod
    async def _sever(connection: psycopg.AsyncConnection[Any], working: asyncio.Future[Any]) -> None:
        with contextlib.suppress(OSError, psycopg.Error):
            duplicate = socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
            with duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({working})
        working.exception()

    async def _described(self, error: Exception) -> DatabaseUnreachable:
        # libpq tells why a connection failed in words alone; of a session that was there, psycopg has the code.
        in_words = isinstance(error, psycopg.OperationalError | psycopg.ProgrammingError) and error.sqlstate is None
        if in_words and self._connection is None:
            # In a thread: it may ask the server.
            return await asyncio.to_thread(describe_connect, error)
        return describe(error)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            connection.pgconn.finish()
