"""The two ways in which a database is observed: asyncpg in a service, psycopg in a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import psycopg

from migration_gate.observe import Observed, SqlFault, observation
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.tables import VersionTable

Read = Callable[[str, VersionTable | None, Mapping[str, str]], Awaitable[Observed]]


async def through_asyncpg(url: str, table: VersionTable | None, statements: Mapping[str, str]) -> Observed:
    probe = AsyncpgProbe(url, version_table=table, statements=statements, timeout_s=10)
    try:
        return await probe()
    finally:
        await probe.close()


async def through_psycopg(url: str, table: VersionTable | None, statements: Mapping[str, str]) -> Observed:
    observing = observation(table, statements)
    sql = next(observing)
    options = "-c default_transaction_read_only=on"
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, options=options) as connection:
        while True:
            try:
                try:
                    cursor = connection.execute(sql.encode())
                except psycopg.Error as error:
                    sql = observing.throw(SqlFault(error.sqlstate or "", error.diag.message_primary or ""))
                else:
                    sql = observing.send(cursor.fetchall() if cursor.description else [])
            except StopIteration as end:
                result: Observed = end.value
                return result
