"""Reading the schema's state from a service that is built on asyncpg."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Generator, Mapping
from typing import ClassVar, TypeVar

import asyncpg

from migration_gate.errors import DatabaseUnreachable
from migration_gate.observed import BrokenStatement
from migration_gate.postgres import tls
from migration_gate.postgres.faults import describe
from migration_gate.postgres.probing import APPLICATION_NAME, LOCK_TIMEOUT, STATEMENT_TIMEOUT, DatabaseProbe, rows_of
from migration_gate.postgres.url import asyncpg_url, parameters_of
from migration_gate.reading import Rows, SqlFault
from migration_gate.statement_proof import proof

_SETTINGS = {
    "application_name": APPLICATION_NAME,
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": STATEMENT_TIMEOUT,
}

_OF_A_FILE = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ssl.SSLError,
    asyncpg.ClientConfigurationError,
)

_Result = TypeVar("_Result")


class AsyncpgProbe(DatabaseProbe):
    """A `DatabaseProbe` on one asyncpg connection to the server itself; through a pooler, take `PsycopgProbe`."""

    unreachable: ClassVar[tuple[type[Exception], ...]] = (
        *DatabaseProbe.unreachable,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    )

    _connection: asyncpg.Connection | None = None

    @property
    def _connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def _connect(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            self._connection = await asyncpg.connect(
                asyncpg_url(self._url), server_settings=_SETTINGS, statement_cache_size=0
            )
            # Set at the start, it would make every server one that `target_session_attrs=read-write` passes over.
            await self._connection.execute("SET default_transaction_read_only = on")

    async def _read(self, reading: Generator[str, Rows, _Result]) -> _Result:
        return await self._driven(reading, self._rows)

    async def _proof(self, statements: Mapping[str, str]) -> tuple[BrokenStatement, ...]:
        return await self._read(proof(statements))

    async def _rows(self, sql: str) -> Rows:
        assert self._connection is not None  # noqa: S101  set by the caller
        try:
            # Each statement has its own bound: a distant server is slow in sum, a dead one at once.
            async with asyncio.timeout(self._timeout_s):
                return rows_of(await self._connection.fetch(sql))
        except asyncpg.PostgresError as error:
            raise SqlFault(error.sqlstate or "", str(error.args[0])) from error

    async def _described(self, error: Exception) -> DatabaseUnreachable:
        # Before it connects, it opens the files that the address names, and says not which of them it could not.
        of_a_file = isinstance(error, _OF_A_FILE) and not isinstance(error, ssl.SSLCertVerificationError)
        return (tls.of_files(parameters_of(self._url)) if of_a_file else None) or describe(error)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
