"""What people do to the ledger, each noted in it with who, when and why.

All of them go through the project's env.py, so that they see the very database that migrations see. What must not meet
a migration at work holds the migration lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from migration_gate import ledger, lock
from migration_gate.connection import observe
from migration_gate.environment import Visit
from migration_gate.errors import MigrationGateError, UpgradeRefused
from migration_gate.expected import Expected, lineage
from migration_gate.observed import Observed
from migration_gate.pooler import refuse_pooler
from migration_gate.proof import live_catalog
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.tables import (
    LEDGER_TABLES,
    OVERRIDE_TABLE,
    REVISION_TABLE,
    RUN_TABLE,
    STEP_TABLE,
    VersionTable,
)
from migration_gate.upgrade import own_errors, visit_database

T = TypeVar("T")

LOCK_DEADLINE_S = 30.0
LONGEST_OVERRIDE = timedelta(days=7)


@dataclass(frozen=True)
class Opened:
    """The database that env.py names, with what the code expects of it, and the schemas that env.py says to watch."""

    connection: Connection
    table: VersionTable
    expected: Expected
    observed: Observed
    schemas: tuple[str, ...]


def with_database(config: Config, do: Callable[[Opened], T], *, locked: bool) -> T:
    """Call `do` with the database that env.py names, under the migration lock where that is asked for, and commit.

    Raises
    ------
    DatabaseUnreachable: no session could be had.
    LockNotAcquired: a migrator is at work.
    MigrationGateError: env.py does not go through the gate, which then could not lead it to another database either.
    """
    expected = expected_from_scripts(config)
    results: list[T] = []

    def call(visit: Visit) -> None:
        connection, table = visit.connection, visit.table
        if locked:
            refuse_pooler(connection.engine, connection)
            lock.acquire(connection, table, LOCK_DEADLINE_S)
        observed = observe(connection, table)
        connection.rollback()
        results.append(do(Opened(connection, table, expected, observed, visit.schemas)))
        connection.commit()

    visit_database(config, call)
    return results[0]


def override(config: Config, duration: timedelta, reason: str) -> datetime:
    """Let traffic through whatever the verdict, and return until when. A duration of zero ends an override.

    Raises
    ------
    MigrationGateError: the duration is longer than a week, or there is no reason.
    """
    if not reason.strip():
        raise MigrationGateError(
            "An override needs a reason, for whoever reads the ledger afterwards.", solution='--reason "TEXT"'
        )
    if duration > LONGEST_OVERRIDE:
        raise MigrationGateError(
            "An override lasts a week at most.", solution="mend the schema meanwhile, or renew the override"
        )
    until = datetime.now(UTC) + duration

    def write(opened: Opened) -> bool:
        if opened.observed.ledger_format < ledger.FORMAT:
            return False
        opened.connection.exec_driver_sql(
            f"INSERT INTO {opened.table.beside(OVERRIDE_TABLE)} (granted_by, until, reason) VALUES (%s, %s, %s)",
            (ledger.migrator_name(), until, reason),
        )
        return True

    # Without the lock, which a migration that goes wrong may hold for hours: that is when the glass is broken.
    if not with_database(config, write, locked=False):
        with_database(config, _bring_ledger, locked=True)
        with_database(config, write, locked=False)
    return until


def _bring_ledger(opened: Opened) -> None:
    ledger.ensure_tables(opened.connection, opened.table, opened.expected.project)


def accept(config: Config, reason: str) -> tuple[str, ...]:
    """Take the present files and the present schema for what was applied, and return the revisions so accepted.

    Raises
    ------
    UpgradeRefused: there is no ledger to accept anything into.
    """

    def write(opened: Opened) -> tuple[str, ...]:
        _require_ledger(opened)
        ledger.ensure_tables(opened.connection, opened.table, opened.expected.project)
        run = ledger.begin_run(opened.connection, opened.table, "accept", 0.0, reason=reason)
        held = lineage(opened.observed.revisions, {**opened.observed.lineage, **opened.expected.parents})
        accepted = []
        for id_, known in opened.expected.revisions.items():
            applied = opened.observed.applied.get(id_)
            if id_ in held and applied is not None and applied.checksum != known.checksum:
                accepted.append(id_)
                row = ledger.RevisionRow(
                    id_,
                    known.parents,
                    "accept",
                    known.checksum,
                    run,
                    applied.phase,
                    applied.minimum_code,
                    reason=reason,
                )
                ledger.write_revision(opened.connection, opened.table, row)
        end_noted_run(opened, run)
        return tuple(accepted)

    return with_database(config, write, locked=True)


def settle(config: Config, reason: str) -> int:
    """Take what stopped halfway for undone by hand, and return how many statements that were."""

    def write(opened: Opened) -> int:
        _require_ledger(opened)
        ledger.ensure_tables(opened.connection, opened.table, opened.expected.project)
        run = ledger.begin_run(opened.connection, opened.table, "settle", 0.0, reason=reason)
        done = opened.connection.exec_driver_sql(
            f"UPDATE {opened.table.beside(STEP_TABLE)} SET settled = true WHERE NOT settled"
        )
        settled = done.rowcount
        end_noted_run(opened, run)
        return settled

    return with_database(config, write, locked=True)


def leave(config: Config) -> tuple[str, ...]:
    """Drop the ledger, and return the tables that are gone. Alembic's version table stays."""

    def write(opened: Opened) -> tuple[str, ...]:
        names = sorted(LEDGER_TABLES)
        opened.connection.exec_driver_sql(
            "DROP TABLE IF EXISTS " + ", ".join(opened.table.beside(name) for name in names)
        )
        return tuple(names)

    return with_database(config, write, locked=True)


def history(config: Config, newest: int) -> dict[str, list[dict[str, Any]]]:
    """The newest runs and revisions of the ledger, newest first, as JSON takes them."""

    def read(opened: Opened) -> dict[str, list[dict[str, Any]]]:
        _require_ledger(opened)
        found = {}
        for name, table in (("runs", RUN_TABLE), ("revisions", REVISION_TABLE)):
            rows = opened.connection.exec_driver_sql(
                f"SELECT (to_jsonb(r) - 'catalog')::text FROM {opened.table.beside(table)} r ORDER BY id DESC LIMIT %s",
                (newest,),
            )
            found[name] = [json.loads(row[0]) for row in rows]
        return found

    return with_database(config, read, locked=False)


def stamp(config: Config, revisions: Sequence[str]) -> None:
    """`alembic stamp --purge`, with the gate's own errors."""
    with own_errors():
        command.stamp(config, list(revisions), purge=True)


def end_noted_run(opened: Opened, run: int) -> None:
    """Complete a run of a person's, with the schema as it is: what later looks are compared with."""
    opened.connection.commit()
    left = live_catalog(opened.connection, opened.table)
    ledger.end_run(opened.connection, opened.table, run, None, catalog=left)


def _require_ledger(opened: Opened) -> None:
    if not opened.observed.ledger_format:
        raise UpgradeRefused(
            "This database keeps no ledger yet.",
            solution="migration-gate ledger baseline, where it has a history; else alembic upgrade head",
        )
