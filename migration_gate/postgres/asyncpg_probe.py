"""Reading the schema's state from a service: one asyncpg connection of its own.

Its own, since the service's pool may be exhausted exactly when the state is asked for. Read-only,
with timeouts of its own, so that watching can neither change nor hold up anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import asyncpg

from migration_gate.observe import BrokenStatement, Observed, Rows, SqlFault, observation, proof
from migration_gate.postgres.faults import describe
from migration_gate.postgres.url import asyncpg_url
from migration_gate.tables import VersionTable

_SETTINGS = {
    "application_name": "migration-gate watcher",
    "default_transaction_read_only": "on",
    "lock_timeout": "500ms",
    "statement_timeout": "1500ms",
}

_UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class AsyncpgProbe:
    """Observe a database again and again, connecting anew after a fault.

    Parameters
    ----------
    url: `postgresql://…`, as the role whose statements are proven.
    statements: name to SQL, proven at the first observation, whenever the revisions change, while any is
        broken, and every `prove_every_s` seconds.
    timeout_s: bound on connecting, and on each statement.
    """

    def __init__(
        self,
        url: str,
        *,
        version_table: VersionTable | None = None,
        statements: Mapping[str, str] | None = None,
        timeout_s: float = 1.5,
        prove_every_s: float = 5.0,
    ) -> None:
        self._url = url
        self._version_table = version_table
        self._statements = statements or {}
        self._timeout_s = timeout_s
        self._prove_every_s = prove_every_s
        self._connection: asyncpg.Connection | None = None
        self._proven_at = float("-inf")
        self._proven_for: object = None
        self._broken: tuple[BrokenStatement, ...] = ()

    async def __call__(self) -> Observed:
        """One observation.

        Raises
        ------
        DatabaseUnreachable: no session could be had, or it did not answer in time.
        """
        try:
            return await self._observe()
        except SqlFault as fault:  # the session lives, and PostgreSQL could not answer now
            raise describe(fault) from fault
        except asyncio.CancelledError:
            self._drop()
            raise
        except Exception as error:
            self._drop()
            if isinstance(error, _UNREACHABLE):
                raise describe(error) from error
            raise

    async def _observe(self) -> Observed:
        if self._connection is None or self._connection.is_closed():
            async with asyncio.timeout(self._timeout_s):
                self._connection = await asyncpg.connect(
                    asyncpg_url(self._url), server_settings=_SETTINGS, statement_cache_size=0
                )
        observed: Observed = await self._run(observation(self._version_table))
        if self._statements:
            await self._prove(observed)
        return replace(observed, statements_proven=bool(self._statements), broken_statements=self._broken)

    async def _prove(self, observed: Observed) -> None:
        """Prove the statements where the last proof is old, or was of another schema."""
        seen = (observed.revisions, observed.lineage, observed.last_run)
        same = seen == self._proven_for
        if same and not self._broken and time.monotonic() - self._proven_at < self._prove_every_s:
            return
        try:
            self._broken = await self._run(proof(self._statements))
        except SqlFault:
            # A lock on a table, say. It is no news of a schema that was proven a moment ago.
            if not same:
                raise
        self._proven_for, self._proven_at = seen, time.monotonic()

    async def _run(self, reading: Generator[str, Rows, Any]) -> Any:
        assert self._connection is not None  # noqa: S101  set by the caller
        sql = next(reading)
        while True:
            try:
                try:
                    # Each statement has its own bound: a distant server is slow in sum, a dead one at once.
                    async with asyncio.timeout(self._timeout_s):
                        rows = await self._connection.fetch(sql)
                except asyncpg.PostgresError as error:
                    sql = reading.throw(SqlFault(error.sqlstate or "", str(error.args[0])))
                else:
                    sql = reading.send([tuple(row) for row in rows])
            except StopIteration as end:
                return end.value

    def distrust(self) -> None:
        """Prove the statements anew at the next observation."""
        self._proven_for = None

    def _drop(self) -> None:
        """Leave the connection without waiting for a server that may never answer."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        self._drop()
