"""What the database remembers of its migrations: one row for each revision applied, one for each run.

The tables live beside Alembic's version table and belong to the role that migrates. They are only ever
added to. A revision's row is written inside that revision's own transaction, so that the two
cannot disagree; a run's row is committed before the run begins and completed after it ends, so that
a run that failed or was killed is known to every other process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from migration_gate.tables import REVISION_TABLE, RUN_TABLE, VersionTable

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy.engine import Connection

    from migration_gate.expected import Expected


def migrator_name() -> str:
    """Who migrates, as the ledger, the lock's holder and pg_stat_activity name it: host and process."""
    # PostgreSQL cuts names at 63 bytes, and the process is the part that tells two replicas apart.
    return f"migration-gate {socket.gethostname()[:36]}:{os.getpid()}"


def ensure_tables(connection: Connection, table: VersionTable) -> None:
    """Create the ledger where it is missing. The caller holds the migration lock and commits."""
    present = connection.exec_driver_sql(
        "SELECT to_regclass(%s) IS NOT NULL AND to_regclass(%s) IS NOT NULL",
        (table.beside(REVISION_TABLE), table.beside(RUN_TABLE)),
    ).scalar_one()
    if present:
        return
    connection.exec_driver_sql(
        f"""CREATE TABLE IF NOT EXISTS {table.beside(REVISION_TABLE)} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            revision text NOT NULL,
            parents text[] NOT NULL,
            action text NOT NULL CHECK (action IN ('upgrade', 'downgrade', 'stamp', 'unstamp')),
            checksum text,
            applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            applied_by text NOT NULL
        )"""
    )
    connection.exec_driver_sql(
        f"""CREATE TABLE IF NOT EXISTS {table.beside(RUN_TABLE)} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            command text NOT NULL,
            result text NOT NULL DEFAULT 'running' CHECK (result IN ('running', 'succeeded', 'failed')),
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            ended_at timestamptz,
            lock_wait interval NOT NULL,
            error text,
            started_by text NOT NULL
        )"""
    )
    keep_for_owner(connection, (table.beside(REVISION_TABLE), table.beside(RUN_TABLE)))


def keep_for_owner(connection: Connection, tables: Iterable[str]) -> None:
    """Take back what default privileges gave others on tables that were just made, except reading them.

    Who serves requests reads the record of migrations; only who migrates writes it.
    """
    for table in tables:
        grantees = connection.exec_driver_sql(
            """SELECT coalesce(quote_ident(r.rolname), 'PUBLIC'), bool_or(a.privilege_type = 'SELECT')
               FROM pg_class c CROSS JOIN aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
               WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner GROUP BY 1""",
            (table,),
        )
        for grantee, may_read in grantees.all():
            connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {grantee}")
            if may_read:
                connection.exec_driver_sql(f"GRANT SELECT ON {table} TO {grantee}")


def settle_abandoned_runs(connection: Connection, table: VersionTable) -> None:
    """Complete runs whose migrator was killed. The caller holds the lock, so a run still marked as running was."""
    connection.exec_driver_sql(
        f"UPDATE {table.beside(RUN_TABLE)} SET result = 'failed', ended_at = clock_timestamp(),"
        " error = 'the migrator disappeared before the run ended' WHERE result = 'running'"
    )


def begin_run(connection: Connection, table: VersionTable, command: str, lock_wait_s: float) -> int:
    """Record that a run begins and return its id. The caller commits at once."""
    row: int = connection.exec_driver_sql(
        f"INSERT INTO {table.beside(RUN_TABLE)} (command, lock_wait, started_by)"
        " VALUES (%s, make_interval(secs => %s), %s) RETURNING id",
        (command, lock_wait_s, migrator_name()),
    ).scalar_one()
    return row


def end_run(connection: Connection, table: VersionTable, run: int, error: str | None) -> None:
    """Complete a run's row; `error` names what failed, without any value out of the data."""
    connection.exec_driver_sql(
        f"UPDATE {table.beside(RUN_TABLE)} SET result = %s, ended_at = clock_timestamp(), error = %s WHERE id = %s",
        ("failed" if error else "succeeded", error, run),
    )


# By whether the step stamps, and whether it goes up. Each row names the revision that comes or goes.
_ACTIONS = {
    (False, True): "upgrade",
    (False, False): "downgrade",
    (True, True): "stamp",
    (True, False): "unstamp",
}


def record_revision(context: MigrationContext, step: MigrationInfo, table: VersionTable, expected: Expected) -> None:
    """Write a step's row inside the step's transaction."""
    connection = context.connection
    if connection is None:  # offline mode prints SQL for somebody else to run
        return
    action = _ACTIONS[step.is_stamp, step.is_upgrade]
    revisions: tuple[str, ...] = step.up_revision_ids
    for id_ in revisions:
        known = expected.revisions.get(id_)
        values: tuple[Any, ...] = (
            id_,
            list(known.parents if known else step.down_revision_ids),
            action,
            known.checksum if known else None,
            migrator_name(),
        )
        connection.exec_driver_sql(
            f"INSERT INTO {table.beside(REVISION_TABLE)} (revision, parents, action, checksum, applied_by)"
            " VALUES (%s, %s, %s, %s, %s)",
            values,
        )
