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
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate import ledger, lock, proof
from migration_gate.blockers import Blocker, Lookout
from migration_gate.catalog import Catalog
from migration_gate.command import Command
from migration_gate.connection import LOCK_NOT_AVAILABLE, observe
from migration_gate.errors import MigrationGateError, StatementRefused, UpgradeRefused
from migration_gate.expected import Expected, lineage
from migration_gate.observed import Observed
from migration_gate.phases import compile_patterns, phase_of
from migration_gate.pooler import refuse_pooler
from migration_gate.postgres.faults import primary_message
from migration_gate.postgres.url import masked_url
from migration_gate.status import judge
from migration_gate.steps import Steps
from migration_gate.tables import VersionTable
from migration_gate.timeouts import bound_lock_waits, lift_role_timeouts

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


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
    steps: Steps = field(init=False)
    #: After each revision, which ones Alembic holds to be applied.
    claims: list[tuple[str, ...]] = field(default_factory=list)
    _planned: int = 0
    _done: int = 0
    _lock_retries: int = 0
    _lock_wait_s: float = 0.0
    _began: float = 0.0
    _planned_steps: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.steps = Steps(self.connection, self.table, self.options.lock_timeout)

    def watched(self, planned: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        """What Alembic walks through, with each revision announced before and after it."""
        self._planned_steps = planned

        def steps(heads: Any, migration: MigrationContext) -> Iterator[Any]:
            for step in planned(heads, migration):
                self._begin(step)
                yield step
                self._end(step)

        steps.__name__ = planned.__name__  # by which `command_of` knows the command
        return steps

    def record(self, *, ctx: MigrationContext, step: Any, heads: Collection[str], **_: Any) -> None:
        """Note a revision in the ledger, in its own transaction: Alembic's `on_version_apply`."""
        if ctx.connection is None:  # offline mode prints SQL for somebody else to run
            return
        proof.refuse_lost_transaction(ctx.connection, step)
        self.steps.settle(ctx.connection, step.up_revision_ids)
        for id_ in step.up_revision_ids:
            ledger.write_revision(ctx.connection, self.table, self._row(id_, step))
        self.claims.append(tuple(sorted(heads)))

    def run(self, migration: MigrationContext, command: Command) -> None:
        """Do it.

        Raises
        ------
        MigrationGateError: it was refused, failed, or is not what it seemed; the message says which.
        sqlalchemy.exc.DBAPIError: PostgreSQL refused a statement.
        """
        if command is Command.UPGRADE and self._is_done(migration):
            self._nothing_to_do(migration)
            return
        refuse_pooler(self.engine, self.connection)
        self._lift_timeouts()
        bound_lock_waits(self.connection, self.options.lock_timeout)
        waited_s = lock.acquire(
            self.connection,
            self.table,
            self.options.lock_deadline_s,
            needless=lambda: command is Command.UPGRADE and self._is_done(migration),
        )
        if waited_s is None:
            # One of many replicas did the work while this one waited: that is no run of its own.
            self._nothing_to_do(migration)
            return
        self._lock_wait_s = waited_s
        proof.note_transactions(self.connection)
        before = observe(self.connection, self.table)
        self.connection.rollback()
        if command is not Command.STAMP:
            self._refuse_what_must_not_be_touched(before)
        ledger.ensure_tables(self.connection, self.table, self.expected.project, self._schemas())
        ledger.settle_abandoned_runs(self.connection, self.table)
        # Here a target that does not exist is told, before any run of it is recorded.
        planned = self._plan(migration)
        if not planned and command is not Command.STAMP:
            # As above, where the lock was free again by then.
            self.connection.commit()
            self._nothing_to_do(migration)
            return
        self._planned = len(planned)
        self.steps.run_id = run = ledger.begin_run(
            self.connection,
            self.table,
            command.value,
            self._lock_wait_s,
            planned=[id_ for step in planned for id_ in step.info.up_revision_ids],
            release=self.options.release,
        )
        self.connection.commit()
        self._run(migration, command, before, run)

    def _run(self, migration: MigrationContext, command: Command, before: Observed, run: int) -> None:
        started = time.monotonic()
        compile_patterns()
        logger.info(
            "migration run begins: %s on %s",
            command.value,
            masked_url(self.engine.url.render_as_string()),
            extra={"run": run, "planned": self._planned, "lock_wait_s": round(self._lock_wait_s, 3)},
        )
        try:
            self._apply(migration)
            if not before.has_version_table:
                ledger.keep_for_owner(self.connection, (self.table.qualified,))
            # Where no step ran, Alembic leaves the version table that it created to whoever commits next.
            self.connection.commit()
            # What Alembic claims, not what this connection reads: a lost transaction has lost both of its ends.
            applied = self.claims[-1] if self.claims else tuple(sorted(migration.get_current_heads()))
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
        deadline = time.monotonic() + self.options.retry_s
        pause_s = FIRST_PAUSE_S
        with Lookout(self.engine, self._backend_pid()) as lookout:
            while True:
                try:
                    with context.begin_transaction():
                        context.run_migrations()
                    return
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                        raise
                    if time.monotonic() + pause_s > deadline:
                        raise self._locked_out(error, lookout.blockers) from error
                    self._lock_retries += 1
                    # Meanwhile those who queued up behind this migration have their turn.
                    wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311
                    logger.warning(
                        "a table is locked by another session, trying again in %.1f s%s",
                        wait_s,
                        _by(lookout.blockers),
                        extra={"lock_retries": self._lock_retries},
                    )
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                    time.sleep(wait_s)

    def _locked_out(self, error: DBAPIError, blockers: Sequence[Blocker]) -> StatementRefused:
        statement = " ".join(str(error.statement).split())
        first = f": SELECT pg_terminate_backend({blockers[0].pid})" if blockers else ""
        return StatementRefused(
            f"A table stayed locked by another session for {self.options.retry_s:.0f} s, in {self._lock_retries + 1}"
            f" tries of {self.options.lock_timeout} each{_by(blockers)}\n  The statement: {statement}",
            solution=f"let that session end, or end it{first}; then run this command again",
        )

    def _begin(self, step: Any) -> None:
        info = step.info
        self._began = time.monotonic()
        migrate = step.migration_fn
        ids = tuple(info.up_revision_ids)
        if info.is_stamp:
            return
        known = self.expected.revisions.get(ids[0])
        revision = self.steps.begin(
            ids, "upgrade" if info.is_upgrade else "downgrade", rerunnable=known is not None and known.rerunnable
        )
        ledger.note_current(self.connection, self.table, self.steps.run_id, ids[0])
        self.connection.commit()

        @wraps(migrate)  # Alembic tells up from down by the function's name
        def inside(**arguments: Any) -> None:
            revision.inside = True
            try:
                migrate(**arguments)
            finally:
                revision.inside = False

        step.migration_fn = inside

    def _end(self, step: Any) -> None:
        self._done += 1
        self.steps.revision = None
        if self.after_revision is not None and not step.info.is_stamp:
            self.after_revision(self.connection, step.info.up_revision_ids[0])
        if not step.info.is_stamp:
            # Alembic says which revision begins.
            took_s = time.monotonic() - self._began
            logger.info("%d of %d done, in %.2f s: %s", self._done, self._planned, took_s, step)

    def _row(self, id_: str, step: Any) -> ledger.RevisionRow:
        known = self.expected.revisions.get(id_)
        revision = self.steps.revision
        phase = known.phase if known else None
        if phase is None and revision is not None and step.is_upgrade:
            phase = phase_of(revision.statements).value
        return ledger.RevisionRow(
            revision=id_,
            parents=known.parents if known else tuple(step.down_revision_ids),
            action=_ACTIONS[step.is_stamp, step.is_upgrade],
            checksum=known.checksum if known else None,
            run=self.steps.run_id,
            phase=phase,
            minimum_code=known.minimum_code if known else None,
            release=self.options.release,
            duration_s=time.monotonic() - self._began,
            lock_wait_s=self._lock_wait_s,
        )

    def _plan(self, migration: MigrationContext) -> list[Any]:
        assert self._planned_steps is not None  # noqa: S101  set before Alembic was configured
        heads = () if migration.opts.get("purge") else migration.get_current_heads()
        return list(self._planned_steps(heads, migration))

    def _is_done(self, migration: MigrationContext) -> bool:
        try:
            return not self._plan(migration)
        except CommandError:  # a revision that this code does not know: the verdict says more of it
            return False
        finally:
            self.connection.rollback()

    def _nothing_to_do(self, migration: MigrationContext) -> None:
        heads = migration.get_current_heads()
        self.connection.rollback()
        logger.info("nothing to migrate: database is at %s", ", ".join(heads) or "no revision")

    def _refuse_what_must_not_be_touched(self, before: Observed) -> None:
        finding = judge(self.expected, before).forbids_upgrade
        if finding is not None:
            raise UpgradeRefused(
                f"Nothing was touched, the schema's state is {finding.state}: {finding.evidence}. {finding.cause}",
                solution=finding.solution,
            )

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
        """The catalog that a failed run left, so that later changes by hand are still seen."""
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


# By whether the step stamps, and whether it goes up. Each row names the revision that comes or goes.
_ACTIONS = {
    (False, True): "upgrade",
    (False, False): "downgrade",
    (True, True): "stamp",
    (True, False): "unstamp",
}


def _by(blockers: Sequence[Blocker]) -> str:
    return f", held by {'; '.join(str(each) for each in blockers)}" if blockers else ""


def named(error: BaseException) -> str:
    """What the ledger and the command line say of a failure: no value out of the data."""
    if isinstance(error, MigrationGateError):
        return error.message.partition("\n")[0]
    return primary_message(error) or type(error).__name__
