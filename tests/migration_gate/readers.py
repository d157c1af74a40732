"""The two ways in which a database is observed: asyncpg in a service, psycopg in a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import psycopg

from migration_gate.observe import observation
from migration_gate.observed import Observed
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.reading import Rows, SqlFault
from migration_gate.statement_proof import proof
from migration_gate.tables import VersionTable

Read = Callable[[str, VersionTable | None, Mapping[str, str]], Awaitable[Observed]]


async def through_asyncpg(url: str, table: VersionTable | None, statements: Mapping[str, str]) -> Observed:
    probe = AsyncpgProbe(url, version_table=table, statements=statements, timeout_s=10)
    try:
        return await probe()
    finally:
        await probe.close()


async def through_psycopg(url: str, table: VersionTable | None, statements: Mapping[str, str]) -> Observed:
    options = "-c default_transaction_read_only=on"
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, options=options) as connection:
        observed: Observed = _run(connection, observation(table))
        return replace(observed, broken_statements=_run(connection, proof(statements)) if statements else ())


def _run(connection: psycopg.Connection[Any], reading: Generator[str, Rows, Any]) -> Any:
    sql = next(reading)
    while True:
        try:
            try:
                cursor = connection.execute(sql.encode())
            except psycopg.Error as error:
                sql = reading.throw(SqlFault(error.sqlstate or "", error.diag.message_primary or ""))
            else:
                sql = reading.send(cursor.fetchall() if cursor.description else [])
        except StopIteration as end:
            return end.value
