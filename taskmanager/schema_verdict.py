"""The gate's verdict on a database, asked for once: by a command and by a backup's trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration_gate.errors import DatabaseUnreachable, RevisionsLockError
from migration_gate.expected import LOCK_NAME, Expected, read_lock
from migration_gate.status import SchemaStatus, judge, unreachable
from taskmanager.project_folder import PROJECT_FOLDER

if TYPE_CHECKING:  # whoever asks brings one driver, and need not wait for the other
    from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
    from migration_gate.postgres.psycopg_probe import PsycopgProbe


async def ask(probe: AsyncpgProbe | PsycopgProbe) -> SchemaStatus:
    """As the probe's role sees it, and the probe is closed; a database that cannot be reached is a verdict too."""
    try:
        expected = read_lock(PROJECT_FOLDER / "alembic" / LOCK_NAME)
    except RevisionsLockError as error:
        expected = Expected.broken(error.message, error.solution)
    try:
        return judge(expected, await probe())
    except DatabaseUnreachable as fault:
        return unreachable(expected, fault.message, fault.solution, fault.rung.value)
    finally:
        await probe.close()
