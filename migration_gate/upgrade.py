"""Upgrading and asking for the verdict, through Alembic and the project's own env.py.

Both go through env.py, so that they see the very database, version table and options that `alembic
upgrade head` sees. What makes an upgrade safe lives in `environment.run`, beneath both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import make_url

from migration_gate.connection import observe
from migration_gate.environment import DATABASE_DEADLINE_ATTRIBUTE, STATEMENTS_ATTRIBUTE
from migration_gate.errors import MigrationGateError, RevisionsLockError
from migration_gate.expected import Expected
from migration_gate.observed import Observed
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
    scripts = ScriptDirectory.from_config(config)
    in_texts = graph_in_texts(scripts)
    expected = in_texts or _expected(config)
    found: list[Observed] = []

    def ask(_: Any, migration: MigrationContext) -> list[Any]:
        found.append(_observed(migration, expected, config.attributes.get(STATEMENTS_ATTRIBUTE)))
        return []

    asking = EnvironmentContext(config, scripts, fn=ask, dont_mutate=True)
    with own_errors(), _database_deadline(config, None if wait else 0.0), asking:
        scripts.run_env()
    status = judge(expected, found[0])
    if in_texts is None or status.state is State.CURRENT:
        return status
    # What is told of a difference follows the order in which Alembic would apply, and the files as Alembic runs them.
    return judge(_expected(config), found[0])


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
    """
    before = schema_status(config, wait=True)
    if before.state in {State.CURRENT, State.AHEAD_COMPATIBLE}:
        return before
    with own_errors():
        command.upgrade(config, "heads")
    return schema_status(config)


@contextmanager
def _database_deadline(config: Config, seconds: float | None) -> Iterator[None]:
    if seconds is not None:
        config.attributes[DATABASE_DEADLINE_ATTRIBUTE] = seconds
    try:
        yield
    finally:
        config.attributes.pop(DATABASE_DEADLINE_ATTRIBUTE, None)


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the gate's error that env.py wrapped for Alembic's command line."""
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, MigrationGateError):
            raise error.__cause__ from None
        raise


def _observed(migration: MigrationContext, expected: Expected, statements: Statements | None) -> Observed:
    connection = migration.connection
    assert connection is not None  # noqa: S101  an online context always has one
    observed = observe(connection, VersionTable(migration.version_table, migration.version_table_schema))
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
