"""The gate's verdict on a database: the same as `taskmanager status` gives."""

from __future__ import annotations

import asyncio

from migration_gate.errors import DatabaseUnreachable, RevisionsLockError
from migration_gate.expected import LOCK_NAME, Expected, read_lock
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.status import SchemaStatus, judge, unreachable
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.tasks.statements import STATEMENTS

# A database that was restored a moment ago has cold caches; nobody waits for this answer.
_TIMEOUT_S = 15.0


def verdict(url: str) -> SchemaStatus:
    """As the address's role sees it, every statement of the service proven."""
    return asyncio.run(_ask(url))


async def _ask(url: str) -> SchemaStatus:
    try:
        expected = read_lock(PROJECT_FOLDER / "alembic" / LOCK_NAME)
    except RevisionsLockError as error:
        expected = Expected.broken(error.message, error.solution)
    probe = PsycopgProbe(url, statements=STATEMENTS, timeout_s=_TIMEOUT_S)
    try:
        return judge(expected, await probe())
    except DatabaseUnreachable as fault:
        return unreachable(expected, fault.message, fault.solution, fault.rung.value)
    finally:
        await probe.close()
