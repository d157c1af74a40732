"""From events, samples and the clients' clocks to statements: who took which lock, how long, and who waited for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from migration_gate.review.rehearsal.catalog import Relation
from migration_gate.review.rehearsal.executed import Executed, Taken
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.measured import Lock, MigratorWait, Rewrite, Scan, Statement, Wait
from migration_gate.review.rehearsal.migration import Event
from migration_gate.review.rehearsal.sampler import INTERVAL_S, Span
from migration_gate.review.rehearsal.traffic import READ, Query

UNSEEN = "(something that did not go through SQLAlchemy)"


class Assembly:
    """What the events of one upgrade amount to, with what was sampled meanwhile.

    Parameters
    ----------
    events: as `migration.run_migration` returns them.
    locks, own_waits, blocked: the spans of `sampler.Sampler`.
    relations: those from before the upgrade, by oid; what the upgrade itself makes nobody else can wait for.
    """

    def __init__(
        self,
        events: Sequence[Event],
        relations: Mapping[int, Relation],
        *,
        locks: Sequence[Span] = (),
        own_waits: Sequence[Span] = (),
        blocked: Sequence[Span] = (),
    ) -> None:
        self._relations = relations
        self._locks = locks
        self._own_waits = own_waits
        self._blocked = blocked
        self._zero = float(next((event["at"] for event in events if event["kind"] == "started"), events[-1]["at"]))
        self._end = float(events[-1]["at"])
        self._executed: list[Executed] = []
        self._live: dict[int, list[Taken]] = {}
        self._follow(events)

    @property
    def duration_ms(self) -> float:
        return self._since(self._end)

    def statements(self) -> tuple[Statement, ...]:
        """In the order of their execution."""
        return tuple(self._statement(executed) for executed in self._executed)

    def waits(self, queries: Iterable[Query]) -> tuple[Wait, ...]:
        """The queries that a sample saw waiting behind the migration; others were slow for other reasons."""
        found = []
        for query in sorted(queries, key=lambda query: query.started):
            spans = [span for span in self._blocked if span.key == (query.pid,) and _overlap(span, query)]
            relation = self._relations.get(query.table)
            if spans and relation is not None:
                moment = max(spans[0].first, query.started)
                blamed = self._blame(query, moment)
                ms = (query.ended - query.started) * 1000
                started = self._since(query.started)
                found.append(Wait(relation.qualified, query.kind, blamed, started, ms, query.gave_up))
        return tuple(found)

    def _follow(self, events: Sequence[Event]) -> None:
        running: dict[int, Executed] = {}
        ending: set[int] = set()
        for event in events:
            pid, at = event.get("pid", 0), float(event["at"])
            # COMMIT is announced before it is sent: whatever comes next tells that it is over.
            for ended in ending:
                self._release(ended, at)
            ending.clear()
            match event["kind"]:
                case "before":
                    running[pid] = Executed(event, self._end)
                    self._executed.append(running[pid])
                case "after":
                    self._finish(running.pop(pid), event)
                case "error":
                    failed = running.pop(pid)
                    failed.ended, failed.sqlstate = at, str(event["sqlstate"])
                    self._take_sampled(failed)
                case "unseen":
                    found = Executed(event | {"sql": UNSEEN, "autocommit": False, "revision": None}, at)
                    self._executed.append(found)
                    self._take(found, event["new"])
                case "commit" | "rollback":
                    ending.add(pid)
        for pid in tuple(self._live):
            self._release(pid, self._end)

    def _finish(self, executed: Executed, event: Event) -> None:
        executed.ended = float(event["ended"])
        self._take(executed, event["new"])
        if executed.event["autocommit"]:
            self._take_sampled(executed)
        gone = {(oid, LockMode.of(mode)) for oid, mode in event["gone"]}
        live = self._live.get(event["pid"], [])
        for taken in [taken for taken in live if (taken.relation.oid, taken.mode) in gone]:
            taken.released = executed.ended
            live.remove(taken)
        changes = event["changes"]
        executed.rewritten = [
            relation for relation in self._known(changes.get("rewritten", ())) if relation.kind != "i"
        ]
        executed.built = [name for table, name in changes.get("built", ()) if table in self._relations]
        if event["scans"] is not None:
            executed.scans = list(self._scans(event["scans"], live))

    def _take(self, executed: Executed, new: Iterable[tuple[int, str]]) -> None:
        pid = executed.event["pid"]
        for oid, name in new:
            relation = self._relations.get(oid)
            if relation is None:
                continue
            acquired, waited = executed.started, 0.0
            for span in self._during(executed, self._locks):
                if span.key == (pid, oid, name, False):
                    acquired, waited = span.last, span.last - span.first
                elif span.key == (pid, oid, name, True) and span.first > acquired + 2 * INTERVAL_S:
                    # A statement of several steps comes to the table late.
                    acquired = span.first
            taken = Taken(relation, LockMode.of(name), acquired, self._end, waited)
            executed.taken.append(taken)
            self._live.setdefault(pid, []).append(taken)

    def _take_sampled(self, executed: Executed) -> None:
        """Locks that were had and given back within the statement: known from samples alone."""
        pid = executed.event["pid"]
        held = {(taken.relation.oid, taken.mode) for taken in self._live.get(pid, ())}
        for span in self._during(executed, self._locks):
            owner, oid, name, granted = span.key
            relation = self._relations.get(oid)
            if owner != pid or not granted or relation is None or (oid, LockMode.of(name)) in held:
                continue
            waited = sum(
                other.last - other.first
                for other in self._during(executed, self._locks)
                if other.key == (pid, oid, name, False)
            )
            # A sample that came too late for the beginning and too early for the end.
            released = min(span.last + INTERVAL_S, executed.ended)
            executed.taken.append(Taken(relation, LockMode.of(name), span.first, released, waited))

    def _release(self, pid: int, at: float) -> None:
        for taken in self._live.pop(pid, ()):
            taken.released = at

    def _scans(self, grown: Iterable[Sequence[int]], live: Sequence[Taken]) -> Iterator[Scan]:
        for oid, sequential, rows, by_index in grown:
            relation = self._relations.get(oid)
            if relation is None or relation.kind not in {"r", "m"}:
                continue
            modes = [taken.mode for taken in live if taken.relation.oid == oid and taken.mode.blocks]
            if sequential or by_index:
                yield Scan(relation.qualified, sequential + by_index, rows, relation.rows, max(modes, default=None))

    def _statement(self, executed: Executed) -> Statement:
        event = executed.event
        file = event.get("file")
        return Statement(
            number=executed.number,
            revision=event["revision"],
            file=Path(file).name if file else None,
            line=event.get("line"),
            sql=event["sql"].strip(),
            in_transaction=not event["autocommit"],
            started_ms=self._since(executed.started),
            duration_ms=(executed.ended - executed.started) * 1000,
            sqlstate=executed.sqlstate,
            locks=tuple(self._strongest(executed.taken)),
            rewrites=tuple(Rewrite(relation.qualified, relation.rows) for relation in executed.rewritten),
            indexes_built=tuple(executed.built),
            scans=None if executed.scans is None else tuple(executed.scans),
            migrator_waits=tuple(
                MigratorWait(span.key[1], (span.last - span.first + INTERVAL_S) * 1000, span.key[2])
                for span in self._during(executed, self._own_waits)
                if span.key[0] == event["pid"]
            ),
        )

    def _strongest(self, taken: Sequence[Taken]) -> Iterator[Lock]:
        """Of each table the strongest lock, and of its indexes only what is stronger than that."""
        by_table: dict[int, list[Taken]] = {}
        for lock in taken:
            by_table.setdefault(lock.relation.table, []).append(lock)
        for table, locks in by_table.items():
            whole = [lock for lock in locks if lock.relation.oid == table]
            strongest = max(whole, key=lambda lock: lock.mode, default=None)
            parts = [lock for lock in locks if lock.relation.oid != table and lock.mode.blocks]
            above = [lock for lock in parts if strongest is None or lock.mode > strongest.mode]
            for lock in ([strongest] if strongest else []) + above:
                yield self._lock(lock, table)

    def _lock(self, taken: Taken, table: int) -> Lock:
        owner = self._relations.get(table, taken.relation)
        return Lock(
            owner.qualified,
            taken.relation.name if owner is not taken.relation else None,
            taken.mode,
            self._since(taken.acquired),
            max(0.0, (taken.released - taken.acquired) * 1000),
            taken.waited * 1000,
        )

    def _blame(self, query: Query, moment: float) -> int | None:
        """The first statement that took a lock which keeps the query out; else the one that runs or last ran."""
        needed = LockMode.ACCESS_EXCLUSIVE if query.kind == READ else LockMode.SHARE
        for executed in self._executed:
            for taken in executed.taken:
                held = taken.acquired - INTERVAL_S <= moment <= taken.released
                if held and taken.relation.table == query.table and taken.mode >= needed:
                    return executed.number
        before = [executed for executed in self._executed if executed.started <= moment]
        return before[-1].number if before else None

    def _known(self, oids: Iterable[int]) -> Iterator[Relation]:
        return (self._relations[oid] for oid in oids if oid in self._relations)

    def _since(self, at: float) -> float:
        return (at - self._zero) * 1000

    @staticmethod
    def _during(executed: Executed, spans: Sequence[Span]) -> Iterator[Span]:
        return (span for span in spans if span.last >= executed.started and span.first <= executed.ended)


def _overlap(span: Span, query: Query) -> bool:
    return span.first <= query.ended and span.last >= query.started


def failure_of(events: Sequence[Event]) -> dict[str, Any] | None:
    """What the `finished` event says went wrong."""
    failure: dict[str, Any] | None = events[-1]["failure"]
    return failure
