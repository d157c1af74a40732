"""What the database remembers of its migrations.

    migration_gate_ledger     one row: whose ledger this is, its format, and the schemas that it watches
    migration_gate_revision   a row for each revision that came or went
    migration_gate_run        a row for each run, and the catalog that it left
    migration_gate_step       a row for each statement of a revision that could not be one transaction
    migration_gate_override   a row for each time that somebody let traffic through on their word

The tables live beside Alembic's version table and belong to the role that migrates. Rows and columns are only ever
added. A revision's row is written inside that revision's own transaction, so that the two cannot disagree; a run's
row is committed before the run begins and completed after it ends, so that a run that failed or was killed is known
to every other process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migration_gate.tables import (
    IDENTITY_TABLE,
    OVERRIDE_TABLE,
    REVISION_TABLE,
    RUN_TABLE,
    STEP_TABLE,
    VersionTable,
    quote,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from migration_gate.catalog import Catalog

FORMAT = 2


def migrator_name() -> str:
    """Who migrates, as the ledger, the lock's holder and pg_stat_activity name it: host and process."""
    # PostgreSQL cuts names at 63 bytes, and the process is the part that tells two replicas apart.
    return f"migration-gate {socket.gethostname()[:36]}:{os.getpid()}"


# Each format's statements, run where the ledger is of an older one. What a released format did is never changed.
_FORMATS: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE IF NOT EXISTS {{{REVISION_TABLE}}} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            revision text NOT NULL,
            parents text[] NOT NULL,
            action text NOT NULL CHECK (action IN ('upgrade', 'downgrade', 'stamp', 'unstamp')),
            checksum text,
            applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            applied_by text NOT NULL
        )""",
        f"""CREATE TABLE IF NOT EXISTS {{{RUN_TABLE}}} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            command text NOT NULL,
            result text NOT NULL DEFAULT 'running' CHECK (result IN ('running', 'succeeded', 'failed')),
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            ended_at timestamptz,
            lock_wait interval NOT NULL,
            error text,
            started_by text NOT NULL
        )""",
    ),
    (
        f"""CREATE TABLE IF NOT EXISTS {{{IDENTITY_TABLE}}} (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            format integer NOT NULL,
            project text,
            schemas text[] NOT NULL DEFAULT '{{{{}}}}',
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        )""",
        f"""ALTER TABLE {{{REVISION_TABLE}}}
            ADD COLUMN IF NOT EXISTS run_id bigint,
            ADD COLUMN IF NOT EXISTS phase text,
            ADD COLUMN IF NOT EXISTS minimum_code text,
            ADD COLUMN IF NOT EXISTS release text,
            ADD COLUMN IF NOT EXISTS started_at timestamptz,
            ADD COLUMN IF NOT EXISTS duration interval,
            ADD COLUMN IF NOT EXISTS lock_wait interval,
            ADD COLUMN IF NOT EXISTS reason text,
            DROP CONSTRAINT IF EXISTS {REVISION_TABLE}_action_check""",
        f"""ALTER TABLE {{{REVISION_TABLE}}} ADD CONSTRAINT {REVISION_TABLE}_action_check
            CHECK (action IN ('upgrade', 'downgrade', 'stamp', 'unstamp', 'baseline', 'accept'))""",
        f"""ALTER TABLE {{{RUN_TABLE}}}
            ADD COLUMN IF NOT EXISTS release text,
            ADD COLUMN IF NOT EXISTS planned text[],
            ADD COLUMN IF NOT EXISTS current_revision text,
            ADD COLUMN IF NOT EXISTS lock_retries integer NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS reason text,
            ADD COLUMN IF NOT EXISTS catalog jsonb,
            ADD COLUMN IF NOT EXISTS catalog_checksum text""",
        f"""CREATE TABLE IF NOT EXISTS {{{STEP_TABLE}}} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            run_id bigint NOT NULL,
            revision text NOT NULL,
            action text NOT NULL,
            number integer NOT NULL,
            statement text NOT NULL,
            began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            ended_at timestamptz,
            error text,
            settled boolean NOT NULL DEFAULT false
        )""",
        f"""CREATE TABLE IF NOT EXISTS {{{OVERRIDE_TABLE}}} (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            granted_by text NOT NULL,
            until timestamptz NOT NULL,
            reason text NOT NULL
        )""",
    ),
)
_TABLES = (IDENTITY_TABLE, REVISION_TABLE, RUN_TABLE, STEP_TABLE, OVERRIDE_TABLE)


def ensure_tables(
    connection: Connection, table: VersionTable, project: str | None = None, schemas: Sequence[str] = ()
) -> None:
    """Bring the ledger to this gate's format. The caller holds the migration lock and commits.

    A ledger of a newer format is left as it is: this gate writes the columns that it knows.
    """
    names = {name: table.beside(name) for name in _TABLES}
    _ensure_schema(connection, table)
    for statements in _FORMATS[_format(connection, names) :]:
        for statement in statements:
            connection.exec_driver_sql(statement.format(**names))
        keep_for_owner(connection, names.values())
    row = connection.exec_driver_sql(f"SELECT format, project, schemas FROM {names[IDENTITY_TABLE]}").one_or_none()
    format_, owner, watched = row or (0, None, [])
    # Schemas are only added: a release that was rolled back must not stop watching what a newer one brought.
    wanted = (max(format_, FORMAT), owner or project, sorted({*watched, *schemas}))
    if row is None:
        connection.exec_driver_sql(
            f"INSERT INTO {names[IDENTITY_TABLE]} (format, project, schemas) VALUES (%s, %s, %s)", wanted
        )
    elif wanted != (format_, owner, watched):
        connection.exec_driver_sql(
            f"UPDATE {names[IDENTITY_TABLE]} SET format = %s, project = %s, schemas = %s", wanted
        )


def _ensure_schema(connection: Connection, table: VersionTable) -> None:
    """Make the schema that `version_table_schema` names: a new database, one for a comparison say, has none yet."""
    present = connection.exec_driver_sql("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", (table.schema,))
    # Not IF NOT EXISTS alone, which asks for the right to make schemas even where there is nothing to make.
    if table.schema is not None and not present.scalar_one():
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")


def _format(connection: Connection, names: dict[str, str]) -> int:
    """The format of the ledger that is there. One of which a table is missing is none: every format can run again."""
    present = connection.exec_driver_sql(
        "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS t (name)", (list(names.values()),)
    ).scalar_one()
    if not present:
        return 0
    found = connection.exec_driver_sql(f"SELECT format FROM {names[IDENTITY_TABLE]}").scalar_one_or_none()
    return int(found or 0)


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


def begin_run(
    connection: Connection,
    table: VersionTable,
    command: str,
    lock_wait_s: float,
    *,
    planned: Sequence[str] = (),
    release: str | None = None,
    reason: str | None = None,
) -> int:
    """Record that a run begins and return its id. The caller commits at once."""
    row: int = connection.exec_driver_sql(
        f"INSERT INTO {table.beside(RUN_TABLE)} (command, lock_wait, started_by, planned, release, reason)"
        " VALUES (%s, make_interval(secs => %s), %s, %s, %s, %s) RETURNING id",
        (command, lock_wait_s, migrator_name(), list(planned), release, reason),
    ).scalar_one()
    return row


def note_current(connection: Connection, table: VersionTable, run: int, revision: str | None) -> None:
    """Tell which revision a run works on. The caller is outside any transaction of a revision, and commits."""
    connection.exec_driver_sql(
        f"UPDATE {table.beside(RUN_TABLE)} SET current_revision = %s WHERE id = %s", (revision, run)
    )


def end_run(
    connection: Connection,
    table: VersionTable,
    run: int,
    error: str | None,
    *,
    catalog: Catalog | None = None,
    lock_retries: int = 0,
) -> None:
    """Complete a run's row; `error` names what failed, without any value out of the data."""
    connection.exec_driver_sql(
        f"UPDATE {table.beside(RUN_TABLE)} SET result = %s, ended_at = clock_timestamp(), error = %s,"
        " current_revision = NULL, lock_retries = %s, catalog = %s::jsonb, catalog_checksum = %s WHERE id = %s",
        (
            "failed" if error else "succeeded",
            error,
            lock_retries,
            catalog.as_json() if catalog else None,
            catalog.checksum if catalog else None,
            run,
        ),
    )


@dataclass(frozen=True)
class RevisionRow:
    """What is noted of a revision that came or went; durations in seconds."""

    revision: str
    parents: tuple[str, ...]
    action: str
    checksum: str | None = None
    run: int | None = None
    phase: str | None = None
    minimum_code: str | None = None
    release: str | None = None
    duration_s: float | None = None
    lock_wait_s: float | None = None
    reason: str | None = None


def write_revision(connection: Connection, table: VersionTable, row: RevisionRow) -> None:
    """Write a revision's row, in the transaction of what it tells."""
    values: tuple[Any, ...] = (
        row.revision,
        list(row.parents),
        row.action,
        row.checksum,
        migrator_name(),
        row.run,
        row.phase,
        row.minimum_code,
        row.release,
        row.duration_s,
        row.duration_s,
        row.lock_wait_s,
        row.reason,
    )
    connection.exec_driver_sql(
        f"INSERT INTO {table.beside(REVISION_TABLE)} (revision, parents, action, checksum, applied_by, run_id, phase,"
        " minimum_code, release, started_at, duration, lock_wait, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " clock_timestamp() - make_interval(secs => %s::float8), make_interval(secs => %s::float8),"
        " make_interval(secs => %s::float8), %s)",
        values,
    )
