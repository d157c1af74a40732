"""Walking through the revisions of a run: each is announced, listened to, and noted in the ledger."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from migration_gate import ledger, proof
from migration_gate.expected import Expected
from migration_gate.kept_session import KeptSession
from migration_gate.phases import phase_of
from migration_gate.steps import Steps
from migration_gate.tables import VersionTable

logger = logging.getLogger(__name__)


class RevisionWalk:
    """What Alembic walks through, and what is noted on the way.

    `claims` are, after each revision, those that Alembic holds to be applied. Times are in seconds.
    """

    def __init__(
        self,
        connection: Connection,
        table: VersionTable,
        expected: Expected,
        steps: Steps,
        release: str | None,
        after_revision: Callable[[Connection, str], None] | None,
    ) -> None:
        self.claims: list[tuple[str, ...]] = []
        self.planned = 0
        self.lock_wait_s = 0.0
        self._connection = connection
        self._table = table
        self._expected = expected
        self._steps = steps
        self._release = release
        self._after_revision = after_revision
        self._kept: KeptSession | None = None
        self._done = 0
        self._began = 0.0
        self._planned_steps: Callable[..., Any] | None = None

    def begins(self, run: int, planned: int, lock_wait_s: float, session: KeptSession) -> None:
        """The run is in the ledger now, with how many revisions it is to go through."""
        self._kept = session
        self._steps.run_id = run
        self.planned = planned
        self.lock_wait_s = lock_wait_s

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
        self._steps.settle(ctx.connection, step.up_revision_ids)
        for id_ in step.up_revision_ids:
            ledger.write_revision(ctx.connection, self._table, self._row(id_, step))
        self.claims.append(tuple(sorted(heads)))

    def _begin(self, step: Any) -> None:
        info = step.info
        self._began = time.monotonic()
        migrate = step.migration_fn
        ids = tuple(info.up_revision_ids)
        if info.is_stamp:
            return
        known = self._expected.revisions.get(ids[0])
        revision = self._steps.begin(
            ids, "upgrade" if info.is_upgrade else "downgrade", rerunnable=known is not None and known.rerunnable
        )
        ledger.note_current(self._connection, self._table, self._steps.run_id, ids[0])
        self._connection.commit()

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
        self._steps.revision = None
        if self._kept is not None and not step.info.is_stamp:
            self._kept.look(step.info.up_revision_ids[0])
        if self._after_revision is not None and not step.info.is_stamp:
            self._after_revision(self._connection, step.info.up_revision_ids[0])
        if not step.info.is_stamp:
            # Alembic says which revision begins.
            took_s = time.monotonic() - self._began
            logger.info("%d of %d done, in %.2f s: %s", self._done, self.planned, took_s, step)

    def _row(self, id_: str, step: Any) -> ledger.RevisionRow:
        known = self._expected.revisions.get(id_)
        revision = self._steps.revision
        phase = known.phase if known else None
        if phase is None and revision is not None and step.is_upgrade:
            phase = phase_of(revision.statements).value
        return ledger.RevisionRow(
            revision=id_,
            parents=known.parents if known else tuple(step.down_revision_ids),
            action=_ACTIONS[step.is_stamp, step.is_upgrade],
            checksum=known.checksum if known else None,
            run=self._steps.run_id,
            phase=phase,
            minimum_code=known.minimum_code if known else None,
            release=self._release,
            duration_s=time.monotonic() - self._began,
            lock_wait_s=self.lock_wait_s,
        )

    def plan(self, migration: MigrationContext) -> list[Any]:
        assert self._planned_steps is not None  # noqa: S101  set before Alembic was configured
        heads = () if migration.opts.get("purge") else migration.get_current_heads()
        return list(self._planned_steps(heads, migration))


# By whether the step stamps, and whether it goes up. Each row names the revision that comes or goes.
_ACTIONS = {
    (False, True): "upgrade",
    (False, False): "downgrade",
    (True, True): "stamp",
    (True, False): "unstamp",
}
