"""What `alembic/env.py` calls: the only place that locks a database and applies migrations to it.

    from migration_gate.environment import run
    from yourproject.models import Base

    run(Base.metadata)

Whoever migrates comes through here: `alembic upgrade head`, `migration-gate upgrade`, a service that
migrates as it starts. All of them get the same lock, timeouts, refusals, ledger and proof.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate.command import Command, command_of
from migration_gate.connection import ADDRESS_ATTRIBUTE, address_if_named, address_of, connect, engine_for
from migration_gate.env_call import TWO_LINES, refuse_misuse
from migration_gate.errors import MigrationGateError, StatementRefused, UpgradeRefused
from migration_gate.migrating import Migration, Options, named
from migration_gate.postgres.sqlstate import mending
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.proof import Statements, statements_of
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.tables import LEDGER_TABLES, VersionTable
from migration_gate.timeouts import checked

DEFAULT_LOCK_DEADLINE_S = 600.0
DEFAULT_DATABASE_DEADLINE_S = 30.0
DEFAULT_RETRY_S = 120.0

# In `Config.attributes`: overrides how long to wait for the database, in seconds.
DATABASE_DEADLINE_ATTRIBUTE = "migration_gate.database_deadline_s"

# In `Config.attributes`: a function that takes an `Environment`; env.py then ends without asking any database.
DESCRIBE_ATTRIBUTE = "migration_gate.describe"

# In `Config.attributes`: called after each revision with the connection, outside any transaction, and its id.
AFTER_REVISION_ATTRIBUTE = "migration_gate.after_revision"

# In `Config.attributes`: a function that takes a `Visit`; env.py then runs no command of Alembic's.
VISIT_ATTRIBUTE = "migration_gate.visit"


@dataclass(frozen=True)
class Environment:
    """What an env.py says of its project. `address` is as SQLAlchemy takes it, and None where none is named."""

    address: str | None
    version_table: VersionTable
    metadata: tuple[MetaData, ...]


@dataclass(frozen=True)
class Visit:
    """The database that an env.py names, on a session outside any transaction.

    `schemas` are those that env.py says to watch, `statements` the application's.
    """

    connection: Connection
    table: VersionTable
    schemas: tuple[str, ...]
    statements: Statements


def run(
    target_metadata: MetaData | list[MetaData] | None,
    *,
    url: str | None = None,
    lock_deadline_s: float = DEFAULT_LOCK_DEADLINE_S,
    database_deadline_s: float = DEFAULT_DATABASE_DEADLINE_S,
    lock_timeout: str = "3s",
    retry_s: float = DEFAULT_RETRY_S,
    statements: Mapping[str, str] | None = None,
    application_url: str | None = None,
    release: str | None = None,
    schemas: Collection[str] = (),
    **configure_options: Any,
) -> None:
    """Run the Alembic command that is under way, offline or online.

    Parameters
    ----------
    target_metadata: the models, for autogenerate and `alembic check`.
    url: the database; otherwise MIGRATION_DATABASE_URL, DATABASE_URL, then `sqlalchemy.url`.
    lock_deadline_s: how long to poll for the lock while another migrator works.
    database_deadline_s: how long to wait for a server that does not accept sessions yet.
    lock_timeout: how long one statement inside a transaction may wait for a table (PostgreSQL's
        notation); whoever waits longer holds up everybody that comes after.
    retry_s: how long to try a revision again whose tables others had locked.
    statements: the application's SQL, name to text with $1-style parameters, tried as the application's role after
        an upgrade; otherwise a SELECT of every column of every model. `{}` tries none.
    application_url: the application's own address; otherwise DATABASE_URL, else the one that migrates.
    release: what the ledger calls this release; otherwise MIGRATION_GATE_RELEASE.
    schemas: schemas to watch for changes by hand, beside the version table's and the models' own.
    configure_options: what `context.configure` takes, but for the connection, `fn` and the dialect. What is set here
        wins: how SQL is written offline, and `transaction_per_migration`, without which neither failures nor
        autocommit blocks work.

    Raises
    ------
    alembic.util.CommandError: with the gate's own error as its cause, so that `alembic` prints a line
        and not a traceback.
    """
    _be_heard()
    try:
        refuse_misuse(target_metadata, configure_options, context.config.attributes)
    except MigrationGateError as error:
        raise CommandError(str(error)) from error
    models = _metadata(target_metadata)
    options = Options(
        lock_deadline_s=lock_deadline_s,
        lock_timeout=checked(lock_timeout),
        retry_s=retry_s,
        release=release or os.environ.get("MIGRATION_GATE_RELEASE") or None,
        schemas=(*schemas, *_schemas_of(models)),
        statements=_statements(models, application_url, statements),
    )
    try:
        _run(target_metadata, url, database_deadline_s, options, configure_options)
    except MigrationGateError as error:
        raise CommandError(str(error)) from error
    except DBAPIError as error:
        refused = _refused(error)
        refused.__cause__ = error  # whoever reports it needs the statement's place and PostgreSQL's code
        raise CommandError(str(refused)) from refused
    except SystemExit:
        # Status 0 would tell a deployment that all was applied.
        ended = MigrationGateError(
            "A migration, or a callback of env.py's, ended the process (sys.exit) before the command was done.",
            solution="let it raise an error where it cannot go on, and return where there is nothing to do",
        )
        raise CommandError(str(ended)) from ended


def _refused(error: DBAPIError) -> StatementRefused:
    if error.connection_invalidated or not error.statement:
        return StatementRefused(f"The session with PostgreSQL was lost: {named(error)}")
    statement = " ".join(error.statement.split())
    return StatementRefused(
        f"PostgreSQL refused a statement: {named(error)}\n  The statement: {statement}",
        solution=mending(getattr(error.orig, "sqlstate", None)),
    )


def _run(
    target_metadata: MetaData | list[MetaData] | None,
    url: str | None,
    database_deadline_s: float,
    options: Options,
    configure_options: dict[str, Any],
) -> None:
    configured = {
        "target_metadata": target_metadata,
        "compare_server_default": True,
        **configure_options,
        # One transaction a revision: a failure keeps what came before, and an autocommit block works.
        "transaction_per_migration": True,
        "include_object": _without_ledger(configure_options.get("include_object")),
    }
    table = VersionTable(
        configured.get("version_table", VersionTable.name), configured.get("version_table_schema", VersionTable.schema)
    )
    describe: Callable[[Environment], None] | None = context.config.attributes.get(DESCRIBE_ATTRIBUTE)
    if describe is not None:
        describe(Environment(address_if_named(context.config, url), table, _metadata(target_metadata)))
        return
    if context.is_offline_mode():
        # SQL for somebody else to run: which database is theirs to say.
        # The usual style of parameters doubles every percent sign, which a person who runs the text would not.
        offline = {"dialect_name": "postgresql", "dialect_opts": {"paramstyle": "named"}, "literal_binds": True}
        context.configure(**(configured | offline))
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = engine_for(address_of(context.config, url))
    try:
        with connect(engine, _database_deadline(database_deadline_s)) as connection:
            visit: Callable[[Visit], None] | None = context.config.attributes.get(VISIT_ATTRIBUTE)
            if visit is not None:
                visit(Visit(connection, table, options.schemas, options.statements))
                return
            _run_online(engine, connection, table, options, configured)
    finally:
        engine.dispose()


def _run_online(
    engine: Engine, connection: Connection, table: VersionTable, options: Options, configured: dict[str, Any]
) -> None:
    _configure(connection, configured)
    command = command_of(context.get_context())
    if command is Command.READ:
        context.run_migrations()
        return
    migration = Migration(
        engine,
        connection,
        table,
        expected_from_scripts(context.config),
        options,
        after_revision=context.config.attributes.get(AFTER_REVISION_ATTRIBUTE),
    )
    asked = configured.pop("on_version_apply", None) or ()
    callbacks = asked if isinstance(asked, Collection) else (asked,)
    _configure(
        connection,
        {
            **configured,
            "fn": migration.walk.watched(context.get_context().opts["fn"]),
            # First, so that what the project's own callbacks do to the transaction happens to the ledger's row as well.
            "on_version_apply": (migration.walk.record, *callbacks),
        },
    )
    migration.run(context.get_context(), command)


def not_through_the_gate() -> UpgradeRefused:
    """For commands that need what only `run` gives: the lock, the ledger, and the way to another database."""
    return UpgradeRefused(
        "Nothing was touched, since env.py does not go through the gate.",
        solution=f"{TWO_LINES}; its own options may stay",
    )


def _metadata(target: MetaData | list[MetaData] | None) -> tuple[MetaData, ...]:
    if target is None:
        return ()
    return (target,) if isinstance(target, MetaData) else tuple(target)


def _schemas_of(models: Collection[MetaData]) -> tuple[str, ...]:
    return tuple(sorted({table.schema for each in models for table in each.tables.values() if table.schema}))


def _statements(
    models: Collection[MetaData], application_url: str | None, asked: Mapping[str, str] | None
) -> Statements:
    if ADDRESS_ATTRIBUTE in context.config.attributes:
        # The application's address leads to its own database, and not to the scratch one that is migrated here.
        return Statements(None, {})
    return Statements(_application_address(application_url), statements_of(models) if asked is None else asked)


def _application_address(url: str | None) -> str | None:
    """The application's address where it has one of its own; None where the migrator's is the only one."""
    found = url or (os.environ.get("DATABASE_URL") if os.environ.get("MIGRATION_DATABASE_URL") else None)
    return sqlalchemy_url(found) if found else None


def _database_deadline(asked: float) -> float:
    """Who only asks wants the answer now: `alembic current`, say, or `upgrade.schema_status`."""
    command = getattr(context.config.cmd_opts, "cmd", None)  # set by Alembic's command line
    if command is not None and command[0].__name__ not in {"upgrade", "downgrade", "stamp"}:
        return 0.0
    deadline: float = context.config.attributes.get(DATABASE_DEADLINE_ATTRIBUTE, asked)
    return deadline


def _configure(connection: Connection, configured: dict[str, Any]) -> None:
    # Each configuration says at length which database it is for; there are several in one upgrade.
    with _quiet(logging.getLogger("alembic.runtime.migration")):
        context.configure(connection=connection, **configured)


def _be_heard() -> None:
    """Undo what `fileConfig`, which Alembic's own env.py calls, does to every logger that its file does not name."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("migration_gate.") and isinstance(logger, logging.Logger):
            logger.disabled = False


@contextmanager
def _quiet(noisy: logging.Logger) -> Iterator[None]:
    level = noisy.level
    noisy.setLevel(logging.WARNING)
    try:
        yield
    finally:
        noisy.setLevel(level)


def _without_ledger(asked: Callable[..., bool] | None) -> Callable[..., bool]:
    """Autogenerate must not propose to drop the gate's own tables."""

    def include(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        if type_ == "table" and reflected and name in LEDGER_TABLES:
            return False
        return asked is None or asked(object_, name, type_, reflected, compare_to)

    return include
