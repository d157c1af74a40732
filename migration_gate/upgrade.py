"""Upgrading and asking for the verdict, through Alembic and the project's own env.py.

Both go through env.py, so that they see the very database, version table and options that `alembic
upgrade head` sees. What makes an upgrade safe lives in `environment.run`, beneath both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.engine import Connection

from migration_gate.connection import observe
from migration_gate.environment import DATABASE_DEADLINE_ATTRIBUTE, VISIT_ATTRIBUTE, Visit, not_through_the_gate
from migration_gate.errors import MigrationGateError, RevisionsLockError
from migration_gate.expected import Expected
from migration_gate.observed import Observed
from migration_gate.postgres.faults import fault_of_connecting
from migration_gate.proof import Statements, broken_statements
from migration_gate.revision_texts import graph_in_texts
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.states import State
from migration_gate.status import SchemaStatus, judge
from migration_gate.tables import VersionTable


def schema_status(config: Config, *, wait: bool = False) -> SchemaStatus:
    """The verdict on the database that env.py names. Writes nothing and takes no lock.

    Where the revisions would allow traffic, the application's statements are tried, as its role where it has one of
    its own.

    Parameters
    ----------
    wait: wait for a server that does not accept sessions yet, as long as env.py says; otherwise ask once.

    Raises
    ------
    DatabaseUnreachable: no session could be had.
    """
    return look(config, wait=wait).status


@dataclass(frozen=True)
class Look:
    """A verdict, and whether the env.py that led to it goes through the gate."""

    status: SchemaStatus
    through_the_gate: bool


def look(config: Config, *, wait: bool = False) -> Look:
    """As `schema_status`, and whether an upgrade would be locked, noted and proven at all."""
    scripts = ScriptDirectory.from_config(config)
    in_texts = graph_in_texts(scripts)
    expected = in_texts or _expected(config)
    found: list[tuple[Observed, bool]] = []

    def look_through_the_gate(visit: Visit) -> None:
        found.append((_observed(visit.connection, visit.table, expected, visit.statements), True))

    def look_past_the_gate(migration: MigrationContext) -> None:
        assert migration.connection is not None  # noqa: S101  an online context always has one
        table = VersionTable(migration.version_table, migration.version_table_schema)
        found.append((_observed(migration.connection, table, expected, None), False))

    _run_env(config, scripts, look_through_the_gate, look_past_the_gate, deadline_s=None if wait else 0.0)
    observed, through_the_gate = found[0]
    status = judge(expected, observed)
    if in_texts is not None and status.state is not State.CURRENT:
        # What is told of a difference follows the order in which Alembic would apply, and the files as it runs them.
        status = judge(_expected(config), observed)
    return Look(status, through_the_gate)


def _expected(config: Config) -> Expected:
    try:
        return expected_from_scripts(config)
    except RevisionsLockError as error:
        return Expected.broken(error.message, error.solution)


def upgrade(config: Config) -> SchemaStatus:
    """Bring the database to the code's heads, and return the verdict of a new connection.

    A database that lacks nothing is left alone without asking for the lock: the second of two replicas
    does not wait for nothing, and the migrate job of a release that was rolled back does not fail on a
    database that is ahead of it.

    Raises
    ------
    UpgradeRefused: env.py does not go through the gate, so there would be neither lock nor ledger; or the verdict
        forbids it.
    """
    before = look(config, wait=True)
    if not before.through_the_gate:
        raise not_through_the_gate()
    if before.status.state in {State.CURRENT, State.AHEAD_COMPATIBLE}:
        return before.status
    with own_errors():
        command.upgrade(config, "heads")
    return schema_status(config)


def visit_database(config: Config, visit: Callable[[Visit], None]) -> None:
    """Let env.py hand the database that it names to `visit`.

    Raises
    ------
    DatabaseUnreachable: no session could be had.
    UpgradeRefused: env.py does not go through the gate, which then could not lead it to another database either.
    """

    def refuse(_: MigrationContext) -> None:
        raise not_through_the_gate()

    _run_env(config, ScriptDirectory.from_config(config), visit, refuse, deadline_s=None)


def _run_env(
    config: Config,
    scripts: ScriptDirectory,
    visit: Callable[[Visit], None],
    otherwise: Callable[[MigrationContext], None],
    *,
    deadline_s: float | None,
) -> None:
    """Run env.py, which calls `visit`; one that knows nothing of the gate runs Alembic's migrations: `otherwise`."""

    def instead_of_migrating(_: Any, migration: MigrationContext) -> list[Any]:
        otherwise(migration)
        return []

    asked = {VISIT_ATTRIBUTE: visit} | ({} if deadline_s is None else {DATABASE_DEADLINE_ATTRIBUTE: deadline_s})
    config.attributes.update(asked)
    try:
        with own_errors(), EnvironmentContext(config, scripts, fn=instead_of_migrating, dont_mutate=True):
            scripts.run_env()
    finally:
        for name in asked:
            del config.attributes[name]


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the gate's error that env.py wrapped for Alembic's command line, or what kept its own engine away."""
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, MigrationGateError):
            raise error.__cause__ from error.__cause__.__cause__
        raise
    except Exception as error:
        if (fault := fault_of_connecting(error)) is not None:
            raise fault from None
        raise


def _observed(
    connection: Connection, table: VersionTable, expected: Expected, statements: Statements | None
) -> Observed:
    observed = observe(connection, table)
    connection.rollback()
    if statements is None or not statements.sql or not judge(expected, observed).allows_traffic:
        return observed
    # Where the application has no address of its own, its role is this session's.
    broken = broken_statements(statements, connection)
    if broken is None:
        return observed
    # Whose statements these are is told with what it may not do.
    role = (make_url(statements.address).username if statements.address else None) or observed.role
    return replace(observed, role=role, statements_proven=True, broken_statements=broken)
