"""What `alembic/env.py` calls: the only place that locks a database and applies migrations to it.

    from migration_gate.environment import run
    from yourproject.models import Base

    run(Base.metadata)

Whoever migrates comes through here: `alembic upgrade head`, `migration-gate upgrade`, a service that
migrates as it starts. All of them get the same lock, timeouts, refusals, ledger and proof.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate import ledger, lock, proof
from migration_gate.connection import address_if_named, address_of, connect, engine_for, observe
from migration_gate.errors import MigrationGateError, StatementRefused, UpgradeRefused
from migration_gate.expected import Expected
from migration_gate.postgres.faults import primary_message
from migration_gate.postgres.url import masked_url
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.status import SchemaStatus, judge
from migration_gate.tables import LEDGER_TABLES, VersionTable
from migration_gate.timeouts import bound_lock_waits

logger = logging.getLogger(__name__)

DEFAULT_LOCK_DEADLINE_S = 600.0
DEFAULT_DATABASE_DEADLINE_S = 30.0

# In `Config.attributes`: overrides how long to wait for the database, in seconds.
DATABASE_DEADLINE_ATTRIBUTE = "migration_gate.database_deadline_s"

# In `Config.attributes`: a function that takes an `Environment`; env.py then ends without asking any database.
DESCRIBE_ATTRIBUTE = "migration_gate.describe"


class Command(Enum):
    """What Alembic was asked to do, as far as the gate must know."""

    READ = "read"  # current, check, history, revision: nothing is written
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"


@dataclass(frozen=True)
class Environment:
    """What an env.py says of its project. `address` is as SQLAlchemy takes it, and None where none is named."""

    address: str | None
    version_table: VersionTable
    metadata: tuple[MetaData, ...]


def run(
    target_metadata: MetaData | list[MetaData] | None,
    *,
    url: str | None = None,
    lock_deadline_s: float = DEFAULT_LOCK_DEADLINE_S,
    database_deadline_s: float = DEFAULT_DATABASE_DEADLINE_S,
    lock_timeout: str = "3s",
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
    configure_options: what `context.configure` takes, but for what is set here: the connection, `url`,
        `literal_binds`, and `transaction_per_migration`, without which neither failures nor autocommit blocks work.

    Raises
    ------
    alembic.util.CommandError: with the gate's own error as its cause, so that `alembic` prints a line
        and not a traceback.
    """
    try:
        _run(target_metadata, url, lock_deadline_s, database_deadline_s, lock_timeout, configure_options)
    except MigrationGateError as error:
        raise CommandError(str(error)) from error
    except DBAPIError as error:
        statement = " ".join(str(error.statement).split())
        refused = StatementRefused(f"PostgreSQL refused a statement: {named(error)}\n  The statement: {statement}")
        raise CommandError(str(refused)) from refused


def _run(
    target_metadata: MetaData | list[MetaData] | None,
    url: str | None,
    lock_deadline_s: float,
    database_deadline_s: float,
    lock_timeout: str,
    configure_options: dict[str, Any],
) -> None:
    options = {
        "target_metadata": target_metadata,
        "compare_server_default": True,
        **configure_options,
        # One transaction a revision: a failure keeps what came before, and an autocommit block works.
        "transaction_per_migration": True,
        "include_object": _without_ledger(configure_options.get("include_object")),
    }
    table = VersionTable(
        options.get("version_table", VersionTable.name), options.get("version_table_schema", VersionTable.schema)
    )
    describe: Callable[[Environment], None] | None = context.config.attributes.get(DESCRIBE_ATTRIBUTE)
    if describe is not None:
        describe(Environment(address_if_named(context.config, url), table, _metadata(target_metadata)))
        return
    if context.is_offline_mode():
        # SQL for somebody else to run: which database is theirs to say.
        context.configure(dialect_name="postgresql", literal_binds=True, **options)
        with context.begin_transaction():
            context.run_migrations()
        return
    address = address_of(context.config, url)
    engine = engine_for(address)
    try:
        with connect(engine, _database_deadline(database_deadline_s)) as connection:
            claims = _configure(connection, table, options)
            migration = context.get_context()
            command = command_of(migration)
            if command is Command.READ:
                context.run_migrations()
            else:
                bound_lock_waits(connection, lock_timeout)
                _migrate(engine, connection, migration, command, table, lock_deadline_s, claims)
    finally:
        engine.dispose()


def _metadata(target: MetaData | list[MetaData] | None) -> tuple[MetaData, ...]:
    if target is None:
        return ()
    return (target,) if isinstance(target, MetaData) else tuple(target)


def _database_deadline(asked: float) -> float:
    """Who only asks wants the answer now: `alembic current`, say, or `upgrade.schema_status`."""
    command = getattr(context.config.cmd_opts, "cmd", None)  # set by Alembic's command line
    if command is not None and command[0].__name__ not in {"upgrade", "downgrade", "stamp"}:
        return 0.0
    deadline: float = context.config.attributes.get(DATABASE_DEADLINE_ATTRIBUTE, asked)
    return deadline


def command_of(migration: MigrationContext) -> Command:
    """Which command a configured context belongs to.

    Alembic gives its environment no command's name. It does give a destination to the commands
    that write, as a tuple only to `stamp`, and names the function that walks the graph.
    """
    destination = migration.opts.get("destination_rev")
    if destination is None:
        # `ensure_version` records, as `stamp base` does, that nothing was applied.
        return Command.STAMP if migration.opts["fn"].__name__ == "do_ensure_version" else Command.READ
    if isinstance(destination, tuple):
        return Command.STAMP
    return Command.DOWNGRADE if migration.opts["fn"].__name__ == "downgrade" else Command.UPGRADE


def database_status(connection: Connection, table: VersionTable, expected: Expected) -> SchemaStatus:
    """The verdict on the database behind a connection, read in a transaction of its own."""
    return judge(expected, observe(connection, table))


def version_table_of(migration: MigrationContext) -> VersionTable:
    """The version table of a configured context."""
    return VersionTable(migration.version_table, migration.version_table_schema)


def _configure(connection: Connection, table: VersionTable, options: dict[str, Any]) -> list[tuple[str, ...]]:
    """Configure Alembic, and return where it will note which revisions it holds to be applied after each step."""
    expected: list[Expected] = []
    claims: list[tuple[str, ...]] = []

    def record(*, ctx: MigrationContext, step: Any, heads: set[str], **_: Any) -> None:
        if not expected:
            expected.append(expected_from_scripts(context.config))
        proof.refuse_lost_transaction(ctx.connection, step)
        ledger.record_revision(ctx, step, table, expected[0])
        claims.append(tuple(sorted(heads)))

    asked = options.pop("on_version_apply", None) or ()
    # First, so that what the project's own callbacks do to the transaction happens to the ledger's row as well.
    callbacks: Any = (record, *(asked if isinstance(asked, Collection) else (asked,)))
    # Each configuration says at length which database it is for; there are several in one upgrade.
    with _quiet(logging.getLogger("alembic.runtime.migration")):
        context.configure(connection=connection, on_version_apply=callbacks, **options)
    return claims


@contextmanager
def _quiet(noisy: logging.Logger) -> Iterator[None]:
    level = noisy.level
    noisy.setLevel(logging.WARNING)
    try:
        yield
    finally:
        noisy.setLevel(level)


def _migrate(
    engine: Engine,
    connection: Connection,
    migration: MigrationContext,
    command: Command,
    table: VersionTable,
    lock_deadline_s: float,
    claims: list[tuple[str, ...]],
) -> None:
    waited_s = lock.acquire(connection, table, lock_deadline_s)
    proof.note_transactions(connection)
    # Only inside the lock does the state stand still: somebody may have migrated while we waited.
    if command is not Command.STAMP:
        _refuse_what_must_not_be_touched(connection, table)
    had_version_table = observe(connection, table).has_version_table
    ledger.ensure_tables(connection, table)
    ledger.settle_abandoned_runs(connection, table)
    # Here a target that does not exist is told, before any run of it is recorded.
    heads = () if migration.opts.get("purge") else migration.get_current_heads()
    steps = list(migration.opts["fn"](heads, migration))
    if not steps and command is not Command.STAMP:
        # One of many replicas did the work while this one waited: that is no run of its own.
        connection.commit()
        logger.info("nothing to migrate: database is at %s", ", ".join(heads) or "no revision")
        return
    run_id = ledger.begin_run(connection, table, command.value, waited_s)
    connection.commit()
    started = time.monotonic()
    where = masked_url(engine.url.render_as_string())
    fields = {"run": run_id, "lock_wait_s": round(waited_s, 3)}
    logger.info("migration run begins: %s on %s", command.value, where, extra=fields)
    try:
        with context.begin_transaction():
            context.run_migrations()
        if not had_version_table:
            ledger.keep_for_owner(connection, (table.qualified,))
        # Where no step ran, Alembic leaves the version table that it created to whoever commits next.
        connection.commit()
        # What Alembic claims, not what this connection reads: a lost transaction has lost both of its ends.
        applied = claims[-1] if claims else tuple(sorted(migration.get_current_heads()))
        connection.rollback()
    except BaseException as error:
        _end_run(engine, table, run_id, named(error))
        raise
    proof.prove(engine, table, applied, run_id)
    logger.info(
        "migration run succeeded: database is at %s",
        ", ".join(applied) or "no revision",
        extra={"run": run_id, "duration_s": round(time.monotonic() - started, 3)},
    )


def _refuse_what_must_not_be_touched(connection: Connection, table: VersionTable) -> None:
    status = database_status(connection, table, expected_from_scripts(context.config))
    connection.rollback()
    if not status.upgradable:
        raise UpgradeRefused(
            f"Nothing was touched, the schema's state is {status.state}: {status.evidence}. {status.cause}",
            solution=status.solution,
        )


def _end_run(engine: Engine, table: VersionTable, run_id: int, error: str) -> None:
    try:
        with engine.begin() as fresh:
            ledger.end_run(fresh, table, run_id, error)
    except DBAPIError:
        # The server is gone, which is why the run failed: the next run completes this row.
        logger.warning("the run's failure could not be written to the ledger", extra={"run": run_id})


def _without_ledger(asked: Callable[..., bool] | None) -> Callable[..., bool]:
    """Autogenerate must not propose to drop the gate's own tables."""

    def include(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        if type_ == "table" and reflected and name in LEDGER_TABLES:
            return False
        return asked is None or asked(object_, name, type_, reflected, compare_to)

    return include


def named(error: BaseException) -> str:
    """What the ledger and the command line say of a failure: no value out of the data."""
    return primary_message(error) or type(error).__name__
