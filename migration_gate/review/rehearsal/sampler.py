"""What only an onlooker sees: the migration's locks and everybody's waits, every few milliseconds.

The session that migrates is asked after each statement by `recorder`. But while it waits, or holds a lock that it
gives back within a statement (CREATE INDEX CONCURRENTLY does), only samples tell.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, cast

import psycopg

from migration_gate.review.rehearsal.addresses import SESSION_PREFIX, Connection

INTERVAL_S = 0.012

# The second column: whether it is a session of the rehearsal's own, by SESSION_PREFIX.
_ACTIVITY = """
    SELECT a.pid, starts_with(a.application_name, %(ours)s), a.application_name, a.wait_event,
           CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) END
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
      AND (a.wait_event_type = 'Lock' OR NOT starts_with(a.application_name, %(ours)s))"""

_LOCKS = """
    SELECT l.pid, l.relation::bigint, l.mode, l.granted FROM pg_locks l
    WHERE l.pid = ANY(%s) AND l.locktype = 'relation' AND l.relation >= 16384
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass
class Span:
    """Something that was true in consecutive samples, from `first` to `last` (seconds, `time.monotonic`)."""

    key: tuple[Any, ...]
    first: float
    last: float


class Sampler(threading.Thread):
    """Samples until told to stop.

    `locks` are spans of (pid, relation, mode, granted) of the migration; `own_waits` of (pid, event, names of those
    in the way); `blocked` of (pid,) of a client that waits behind the migration, directly or behind others
    that do.
    """

    def __init__(self, session: Connection) -> None:
        super().__init__(name="rehearsal-sampler", daemon=True)
        self.locks: list[Span] = []
        self.own_waits: list[Span] = []
        self.blocked: list[Span] = []
        self.samples = 0
        #: Samples ended before they should have: what came later was not seen.
        self.ended_early = False
        self.stop = threading.Event()
        self._session = session
        self._live: dict[tuple[str, tuple[Any, ...]], Span] = {}

    def run(self) -> None:
        try:
            while not self.stop.wait(INTERVAL_S):
                self._sample()
        except psycopg.Error:
            # At the end of a rehearsal the database may be dropped under a sample: that loses nothing.
            self.ended_early = not self.stop.is_set()

    def finish(self) -> None:
        self.stop.set()
        if self.is_alive():
            self.join(timeout=10)
        self._session.close()

    def _sample(self) -> None:
        activity = cast(
            "list[tuple[Any, ...]]", self._session.execute(_ACTIVITY, {"ours": SESSION_PREFIX + " "}).fetchall()
        )
        migrating = [row[0] for row in activity if not row[1]]
        locks = self._session.execute(_LOCKS, [migrating]).fetchall() if migrating else []
        at = time.monotonic()
        names = {row[0]: row[2] for row in activity}
        blockers = {row[0]: set(row[4]) for row in activity if row[4]}
        seen: dict[tuple[str, tuple[Any, ...]], list[Span]] = {}
        for key in locks:
            seen["lock", key] = self.locks
        for pid, ours, _, event, behind in activity:
            if not ours and behind:
                who = tuple(sorted({names.get(other, "another session") for other in behind}))
                seen["wait", (pid, event, who)] = self.own_waits
            elif ours and behind and _reaches(pid, set(migrating), blockers):
                seen["blocked", (pid,)] = self.blocked
        self._note(seen, at)
        self.samples += 1

    def _note(self, seen: dict[tuple[str, tuple[Any, ...]], list[Span]], at: float) -> None:
        for label in tuple(self._live):
            if label not in seen:
                del self._live[label]
        for label, spans in seen.items():
            span = self._live.get(label)
            if span is None:
                span = self._live[label] = Span(label[1], at, at)
                spans.append(span)
            span.last = at


def _reaches(pid: int, targets: set[int], blockers: dict[int, set[int]]) -> bool:
    """Whether the chain of those who block `pid` ends at one of `targets`."""
    known: set[int] = set()
    pending = [pid]
    while pending:
        for blocker in blockers.get(pending.pop(), set()) - known:
            if blocker in targets:
                return True
            known.add(blocker)
            pending.append(blocker)
    return False
