"""Applying migrations: under the lock, on a schema that may be touched, noted in the ledger, and proven.

wait for the database        connection.connect
nothing to do?               then no lock is asked for
refuse a pooler, lock        pooler, lock: fenced, polled, with a named holder
look again, judge, refuse    only inside the lock does the state stand still
apply, a transaction each    retried where a table was locked, with whoever held it named
prove on a new connection    revisions, validity, the application's statements as its role
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate import ledger, lock, proof
from migration_gate.blockers import Lookout
from migration_gate.catalog import Catalog
from migration_gate.command import Command
from migration_gate.connection import observe
from migration_gate.errors import MigrationGateError, UpgradeRefused
from migration_gate.expected import Expected, lineage
from migration_gate.findings import Finding
from migration_gate.kept_session import KeptSession
from migration_gate.locked_tables import tried_until_unlocked
from migration_gate.observed import Observed
from migration_gate.phases import compile_patterns
from migration_gate.pooler import refuse_pooler
from migration_gate.postgres.faults import primary_message
from migration_gate.postgres.url import masked_url
from migration_gate.revision_walk import RevisionWalk
from migration_gate.states import RULES, State
from migration_gate.status import judge
from migration_gate.steps import Steps
from migration_gate.tables import VersionTable
from migration_gate.timeouts import bound_lock_waits, lift_role_timeouts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a migration is to go; times in seconds, `lock_timeout` in PostgreSQL's notation.

    `retry_s` is how long to try again where a table was locked. `schemas` are those whose objects are watched for
    drift beside the version table's own.
    """

    lock_deadline_s: float
    lock_timeout: str
    retry_s: float
    release: str | None
    schemas: tuple[str, ...]
    statements: proof.Statements


@dataclass
class Migration:
    """One command that writes: `alembic upgrade`, `downgrade` or `stamp`.

    Parameters
    ----------
    engine: opens further sessions on the same database, for the lookout and the proof.
    connection: the one that migrates and holds the lock, outside any transaction.
    expected: what the code's migration files say.
    """

    engine: Engine
    connection: Connection
    table: VersionTable
    expected: Expected
    options: Options
    after_revision: Callable[[Connection, str], None] | None = None
    walk: RevisionWalk = field(init=False)
    _lock_retries: int = 0

    def __post_init__(self) -> None:
        options = self.options
        steps = Steps(self.connection, self.table, options.lock_timeout)
        self.walk = RevisionWalk(
            self.connection, self.table, self.expected, steps, options.release, self.after_revision
        )

    def run(self, migration: MigrationContext, command: Command) -> None:
        """Do it.

        Raises
        ------
        MigrationGateError: it was refused, failed, or is not what it seemed; the message says which.
        sqlalchemy.exc.DBAPIError: PostgreSQL refused a statement.
        """
        if command is Command.UPGRADE and self._is_done(migration):
            self._nothing_to_do(command)
            return
        refuse_pooler(self.engine, self.connection)
        self._lift_timeouts()
        bound_lock_waits(self.connection, self.options.lock_timeout)
        lock_wait_s = lock.acquire(
            self.connection,
            self.table,
            self.options.lock_deadline_s,
            needless=lambda: command is Command.UPGRADE and self._is_done(migration),
        )
        if lock_wait_s is None:
            # One of many replicas did the work while this one waited: that is no run of its own.
            self._nothing_to_do(command)
            return
        proof.note_transactions(self.connection)
        before = self._observe()
        if command is not Command.STAMP:
            _refuse_what_must_not_be_touched(judge(self.expected, before).forbids_upgrade)
        ledger.ensure_tables(self.connection, self.table, self.expected.project, self._schemas())
        ledger.settle_abandoned_runs(self.connection, self.table)
        # Here a target that does not exist is told, before any run of it is recorded.
        planned = self.walk.plan(migration)
        if not planned and command is not Command.STAMP:
            # As above, where the lock was free again by then.
            self.connection.commit()
            self._nothing_to_do(command)
            return
        run = ledger.begin_run(
            self.connection,
            self.table,
            command.value,
            lock_wait_s,
            planned=[id_ for step in planned for id_ in step.info.up_revision_ids],
            release=self.options.release,
        )
        self.connection.commit()
        key = lock.lock_key(lock.schema_of(self.connection, self.table), self.table.name)
        self.walk.begins(run, len(planned), lock_wait_s, KeptSession(self.connection, key))
        self._run(migration, command, before, run)

    def _run(self, migration: MigrationContext, command: Command, before: Observed, run: int) -> None:
        started = time.monotonic()
        compile_patterns()
        logger.info(
            "migration run begins: %s on %s",
            command.value,
            masked_url(self.engine.url.render_as_string()),
            extra={"run": run, "planned": self.walk.planned, "lock_wait_s": round(self.walk.lock_wait_s, 3)},
        )
        try:
            self._apply(migration)
            if not before.has_version_table:
                ledger.keep_for_owner(self.connection, (self.table.qualified,))
            # Where no step ran, Alembic leaves the version table that it created to whoever commits next.
            self.connection.commit()
            # What Alembic claims, not what this connection reads: a lost transaction has lost both of its ends.
            applied = self.walk.claims[-1] if self.walk.claims else tuple(sorted(migration.get_current_heads()))
            self.connection.rollback()
            left = proof.prove(self.engine, self.table, applied, before, self._statements(command, applied))
        except BaseException as error:
            self._end_run(run, named(error), None if command is Command.STAMP else self._left())
            raise
        self._end_run(run, None, None if command is Command.STAMP else left)
        logger.info(
            "migration run succeeded: database is at %s",
            ", ".join(applied) or "no revision",
            extra={"run": run, "duration_s": round(time.monotonic() - started, 3), "lock_retries": self._lock_retries},
        )

    def _statements(self, command: Command, applied: tuple[str, ...]) -> proof.Statements:
        """What the application must be able to run now: its statements fit its heads and nothing before them."""
        parents = self.expected.parents
        if command is Command.UPGRADE and lineage(applied, parents) == lineage(self.expected.heads, parents):
            return self.options.statements
        return proof.Statements(None, {})

    def _apply(self, migration: MigrationContext) -> None:
        def once() -> None:
            with context.begin_transaction():
                context.run_migrations()

        with Lookout(self.engine, self._backend_pid()) as lookout:
            for _ in tried_until_unlocked(once, lookout, self.options.retry_s, self.options.lock_timeout):
                self._lock_retries += 1

    def _is_done(self, migration: MigrationContext) -> bool:
        """Whether there is nothing to apply: a newer release that has been here leaves nothing to an older one."""
        try:
            return not self.walk.plan(migration)
        except CommandError:  # a revision that this code does not know, or a target that does not exist
            return (
                self._leads_to_known_revisions(migration.opts["destination_rev"])
                and judge(self.expected, self._observe()).state is State.AHEAD_COMPATIBLE
            )
        finally:
            self.connection.rollback()

    def _leads_to_known_revisions(self, target: str) -> bool:
        try:
            return bool(context.script.get_revisions(target))
        except CommandError:
            return False

    def _nothing_to_do(self, command: Command) -> None:
        """End a command that finds nothing to apply, where the database is what the record says.

        Raises
        ------
        UpgradeRefused, ProofFailed: it is not, and status 0 would let a deployment go on.
        """
        observed = self._observe()
        status = judge(self.expected, observed)
        forbidding = (finding for finding in status.findings if not RULES[finding.state].upgrade)
        _refuse_what_must_not_be_touched(
            next((finding for finding in forbidding if finding.state is not State.AHEAD_COMPATIBLE), None)
        )
        if command is Command.UPGRADE and not status.missing:
            proof.prove_statements_run(observed.revisions, self.options.statements)
        where = ", ".join(observed.revisions) or "no revision"
        if status.state is State.AHEAD_COMPATIBLE:
            logger.warning("nothing to migrate: database is at %s, ahead of this code, which runs on it", where)
        else:
            logger.info("nothing to migrate: database is at %s", where)

    def _observe(self) -> Observed:
        observed = observe(self.connection, self.table)
        self.connection.rollback()
        return observed

    def _lift_timeouts(self) -> None:
        lifted = lift_role_timeouts(self.connection)
        if lifted:
            told = ", ".join(f"{name} = {value}" for name, value in sorted(lifted.items()))
            logger.info("the role's own timeouts do not bind this migration: %s", told)

    def _schemas(self) -> tuple[str, ...]:
        own = lock.schema_of(self.connection, self.table)
        return tuple(sorted({own, *self.options.schemas}))

    def _backend_pid(self) -> int:
        pid: int = self.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        self.connection.commit()
        return pid

    def _left(self) -> Catalog | None:
        """The catalog that a failed run left, so that later changes by hand are still seen.

        None where it recorded no revision: what the run before it left still holds, and what a migration has made past
        its own transaction, on a connection of its own say, must be told.
        """
        if not self.walk.claims:
            return None
        try:
            with self.engine.connect() as fresh:
                return proof.live_catalog(fresh, self.table)
        except DBAPIError:
            return None

    def _end_run(self, run: int, error: str | None, left: Catalog | None) -> None:
        try:
            with self.engine.begin() as fresh:
                ledger.end_run(fresh, self.table, run, error, catalog=left, lock_retries=self._lock_retries)
        except DBAPIError:
            if error is None:
                raise
            # The server is gone, which is why the run failed: the next run completes this row.
            logger.warning("the run's failure could not be written to the ledger", extra={"run": run})


def _refuse_what_must_not_be_touched(finding: Finding | None) -> None:
    if finding is not None:
        raise UpgradeRefused(
            f"Nothing was touched, the schema's state is {finding.state}: {finding.evidence}. {finding.cause}",
            solution=finding.solution,
        )


def named(error: BaseException) -> str:
    """What the ledger and the command line say of a failure: no value out of the data."""
    if isinstance(error, MigrationGateError):
        return error.message.partition("\n")[0]
    return primary_message(error) or type(error).__name__
