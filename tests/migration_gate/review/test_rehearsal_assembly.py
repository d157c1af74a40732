"""How events, samples and clocks become statements, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from migration_gate.review.rehearsal.assembly import Assembly
from migration_gate.review.rehearsal.catalog import Relation
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.sampler import Sampler, Span
from migration_gate.review.rehearsal.traffic import READ, WRITE, Query

PID, TABLE, INDEX = 7, 20_000, 20_001
RELATIONS = {
    TABLE: Relation(TABLE, "public", "book", "r", TABLE, 1_000),
    INDEX: Relation(INDEX, "public", "book_title", "i", TABLE),
}


def _event(at: float, kind: str, **facts: Any) -> dict[str, Any]:
    return {"at": at, "kind": kind, "pid": PID} | facts


def _before(at: float, number: int = 1, sql: str = "ALTER TABLE book …", *, autocommit: bool = False) -> dict[str, Any]:
    where = {"revision": "beef", "file": "/versions/beef.py", "line": 12}
    return _event(at, "before", number=number, sql=sql, autocommit=autocommit, **where)


def _after(at: float, number: int = 1, **facts: Any) -> dict[str, Any]:
    return _event(at, "after", number=number, ended=at, **({"new": [], "gone": [], "scans": [], "changes": {}} | facts))


def _finished(at: float) -> dict[str, Any]:
    return {"at": at, "kind": "finished", "failure": None}


def test_a_lock_lasts_from_when_it_was_granted_until_the_first_event_after_commit() -> None:
    events = [
        _event(100.0, "started"),
        _before(100.1),
        _after(101.0, new=[[TABLE, "AccessExclusiveLock"], [INDEX, "AccessExclusiveLock"]]),
        _before(101.1, 2, "SELECT 1"),
        _after(102.0, 2),
        _event(102.0, "commit"),
        _event(102.5, "begin"),
        _finished(103.0),
    ]
    waited = Span((PID, TABLE, "AccessExclusiveLock", False), 100.2, 100.6)

    altered, selected = Assembly(events, RELATIONS, locks=[waited]).statements()

    (lock,) = altered.locks
    assert lock.relation == "public.book", "an index's lock that is no stronger than its table's says nothing more"
    assert lock.acquired_ms == pytest.approx(600)
    assert lock.waited_ms == pytest.approx(400)
    assert lock.released_ms == pytest.approx(2500)
    assert selected.locks == ()


def test_outside_a_transaction_samples_tell_the_locks() -> None:
    events = [
        _event(0.0, "started"),
        _before(1.0, sql="CREATE INDEX CONCURRENTLY …", autocommit=True),
        _after(2.0, scans=None, changes={"built": [[TABLE, "public.other"], [99_999, "public.new"]]}),
        _finished(3.0),
    ]
    held = Span((PID, TABLE, "ShareUpdateExclusiveLock", True), 1.1, 1.95)
    own = Span((PID, "virtualxid", ("an old transaction",)), 1.2, 1.8)

    (statement,) = Assembly(events, RELATIONS, locks=[held], own_waits=[own]).statements()

    (lock,) = statement.locks
    assert (lock.mode, round(lock.held_ms)) == (LockMode.SHARE_UPDATE_EXCLUSIVE, 862)
    assert statement.indexes_built == ("public.other",)
    assert statement.scans is None
    (wait,) = statement.migrator_waits
    assert (wait.event, wait.behind) == ("virtualxid", ("an old transaction",))
    assert wait.ms == pytest.approx(612)


def test_a_lock_given_back_at_a_savepoint_ends_there() -> None:
    events = [
        _event(0.0, "started"),
        _before(1.0),
        _after(1.1, new=[[TABLE, "AccessExclusiveLock"]]),
        _before(2.0, 2, "ROLLBACK TO SAVEPOINT s"),
        _after(2.1, 2, gone=[[TABLE, "AccessExclusiveLock"]]),
        _event(9.0, "commit"),
        _finished(9.1),
    ]

    altered = Assembly(events, RELATIONS).statements()[0]

    assert altered.locks[0].held_ms == pytest.approx(1100)


def test_a_scan_is_under_the_strongest_lock_that_an_earlier_statement_took() -> None:
    events = [
        _event(0.0, "started"),
        _before(1.0),
        _after(1.1, new=[[TABLE, "ShareLock"]]),
        _before(2.0, 2),
        _after(2.1, 2, new=[[TABLE, "AccessExclusiveLock"]], scans=[[TABLE, 1, 30, 0]]),
        _finished(3.0),
    ]

    scan = Assembly(events, RELATIONS).statements()[1].scans

    assert scan is not None
    assert (scan[0].under, scan[0].rows_read, scan[0].source_rows) == (LockMode.ACCESS_EXCLUSIVE, 30, 1_000)


def test_a_wait_counts_against_the_statement_that_took_the_lock_and_only_if_it_was_seen_behind_it() -> None:
    events = [
        _event(0.0, "started"),
        _before(1.0),
        _after(1.1, new=[[TABLE, "ShareLock"]]),
        _before(2.0, 2, "SELECT pg_sleep(3)"),
        _after(5.0, 2),
        _event(5.0, "commit"),
        _finished(5.1),
    ]
    assembly = Assembly(events, RELATIONS, blocked=[Span((31,), 2.5, 5.0)])
    queries = [
        Query(31, TABLE, WRITE, 2.4, 5.05, gave_up=False),
        Query(32, TABLE, READ, 2.4, 2.6, gave_up=False),  # slow, but behind nobody
        Query(31, TABLE, WRITE, 5.2, 5.3, gave_up=False),
    ]

    (wait,) = assembly.waits(queries)

    assert (wait.statement, wait.kind, round(wait.ms)) == (1, WRITE, 2650)


def test_a_failed_statement_keeps_what_samples_saw_of_it() -> None:
    events = [
        _event(0.0, "started"),
        _before(1.0),
        _event(2.0, "error", number=1, sqlstate="55P03"),
        _event(2.0, "rollback"),
        _finished(2.5),
    ]
    held = Span((PID, TABLE, "AccessExclusiveLock", True), 1.5, 2.2)

    (failed,) = Assembly(events, RELATIONS, locks=[held]).statements()

    assert failed.sqlstate == "55P03"
    assert failed.duration_ms == pytest.approx(1000)
    assert failed.locks[0].mode is LockMode.ACCESS_EXCLUSIVE


def test_samples_become_spans_and_waits_are_followed_through_others() -> None:
    class Session:
        """Three samples: the writer waits behind a reader that waits behind the migration, then for nobody."""

        def __init__(self) -> None:
            self.answers: list[Any] = [
                [
                    (PID, False, "migration", None, None),
                    (1, True, "reader", "relation", [PID]),
                    (2, True, "writer", "relation", [1]),
                ],
                [(PID, TABLE, "AccessExclusiveLock", True)],
                [(PID, False, "migration", None, None), (2, True, "writer", "relation", [PID])],
                [(PID, TABLE, "AccessExclusiveLock", True)],
                [(2, True, "writer", "relation", [3])],
            ]

        def execute(self, *_: object) -> Session:
            return self

        def fetchall(self) -> Any:
            return self.answers.pop(0)

    sampler = Sampler(Session())  # type: ignore[arg-type]
    for _ in range(3):
        sampler._sample()

    assert [span.key for span in sampler.locks] == [(PID, TABLE, "AccessExclusiveLock", True)]
    assert [span.key for span in sampler.blocked] == [(1,), (2,)]
    assert sampler.samples == 3
