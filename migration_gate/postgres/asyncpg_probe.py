"""Reading the schema's state from a service: one asyncpg connection of its own.

Its own, since the service's pool may be exhausted exactly when the state is asked for. Read-only,
with timeouts of its own, so that watching can neither change nor hold up anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import asyncpg

from migration_gate.observe import Observed, SqlFault, observation
from migration_gate.postgres.faults import describe
from migration_gate.tables import VersionTable

_SETTINGS = {
    "application_name": "migration-gate watcher",
    "default_transaction_read_only": "on",
    "lock_timeout": "500ms",
    "statement_timeout": "1500ms",
}


class AsyncpgProbe:
    """Observe a database again and again, connecting anew after a fault.

    Parameters
    ----------
    url: `postgresql://…`, as the role whose statements are proven.
    statements: name to SQL, proven at the first observation, whenever the revisions change, while any is
        broken, and every `prove_every_s` seconds.
    timeout_s: bound on one observation, connecting included.
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
        self._proven: Observed | None = None

    async def __call__(self) -> Observed:
        """One observation.

        Raises
        ------
        DatabaseUnreachable: no session could be had, or it did not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                observed = await self._observe()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, SqlFault) as error:
            self._drop()
            raise describe(error) from error
        except asyncio.CancelledError:
            self._drop()
            raise
        return observed

    async def _observe(self) -> Observed:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url, server_settings=_SETTINGS, statement_cache_size=0, timeout=self._timeout_s
            )
        observed = await self._run({})
        if self._must_prove(observed):
            observed = await self._run(self._statements)
            self._proven, self._proven_at = observed, time.monotonic()
        elif self._proven is not None:
            observed = replace(observed, broken_statements=self._proven.broken_statements)
        return observed

    def _must_prove(self, observed: Observed) -> bool:
        proven = self._proven
        return (
            proven is None
            or bool(proven.broken_statements)
            or time.monotonic() - self._proven_at >= self._prove_every_s
            or (proven.revisions, proven.lineage, proven.last_run)
            != (observed.revisions, observed.lineage, observed.last_run)
        )

    async def _run(self, statements: Mapping[str, str]) -> Observed:
        assert self._connection is not None  # noqa: S101  set by the caller
        observing = observation(self._version_table, statements)
        sql = next(observing)
        while True:
            try:
                try:
                    rows = await self._connection.fetch(sql)
                except asyncpg.PostgresError as error:
                    sql = observing.throw(SqlFault(error.sqlstate or "", str(error.args[0])))
                else:
                    sql = observing.send([tuple(row) for row in rows])
            except StopIteration as end:
                result: Observed = end.value
                return result

    def _drop(self) -> None:
        """Leave the connection without waiting for a server that may never answer."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        self._drop()
