"""What runs out, and who waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg

from taskmanager.observability.postgres_activity import INTERVAL_S
from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.faults.requests import misbehaves
from tests.alerts.rig import Rig
from tests.alerts.rig.disk import fill
from tests.alerts.rig.laboratory import MAX_CONNECTIONS

_DISTANT_S = 0.03
_SHARE_OF_CONNECTIONS = 0.85
_DISK_BYTES = 32 * 1024 * 1024


@contextmanager
def database_far_away(rig: Rig) -> Iterator[float]:
    """The network to the database becomes slow, each way by 30 ms."""
    began = time.monotonic()
    for proxy in rig.proxies:
        proxy.slow_down(_DISTANT_S)
    try:
        yield began
    finally:
        for proxy in rig.proxies:
            proxy.slow_down(0.0)


def statements_become_slow(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, wait_s=0.3)


@contextmanager
def sessions_held_open(rig: Rig) -> Iterator[float]:
    with psycopg.connect(rig.database.admin_url, autocommit=True) as admin:
        row = admin.execute(
            "SELECT count(usesysid), current_setting('superuser_reserved_connections')::int FROM pg_stat_activity"
        ).fetchone()
    assert row is not None
    wanted = int((MAX_CONNECTIONS - row[1]) * _SHARE_OF_CONNECTIONS)
    with ExitStack() as sessions:
        for _ in range(wanted - row[0] + 1):
            sessions.enter_context(psycopg.connect(rig.database.app_url, autocommit=True))
        yield time.monotonic()


@contextmanager
def somebody_waits_for_a_lock(rig: Rig) -> Iterator[float]:
    (first, _) = _two_tasks(rig)
    update = "UPDATE tasks SET title = title WHERE id = %s"
    with psycopg.connect(rig.database.migrator_url) as holder:
        holder.execute(update, [first])
        waiting = threading.Thread(target=rig.database.execute, args=(update, first), daemon=True)
        began = time.monotonic()
        waiting.start()
        yield began
    waiting.join(20)


@contextmanager
def idle_in_transaction(rig: Rig) -> Iterator[float]:
    with psycopg.connect(rig.database.migrator_url) as session:
        began = time.monotonic()
        session.execute("SELECT count(*) FROM tasks")
        yield began


@contextmanager
def crossed_updates(rig: Rig) -> Iterator[float]:
    first, second = _two_tasks(rig)
    meeting = threading.Barrier(2)
    refused: list[float] = []

    def cross(one: object, other: object) -> None:
        with psycopg.connect(rig.database.migrator_url) as session:
            session.execute("UPDATE tasks SET title = title WHERE id = %s", [one])
            meeting.wait()
            try:
                session.execute("UPDATE tasks SET title = title WHERE id = %s", [other])
            except psycopg.errors.DeadlockDetected:
                refused.append(time.monotonic())
                session.rollback()

    crossing = [threading.Thread(target=cross, args=pair) for pair in ((first, second), (second, first))]
    for thread in crossing:
        thread.start()
    for thread in crossing:
        thread.join(20)
    (at,) = refused
    yield at


def _two_tasks(rig: Rig) -> tuple[int, int]:
    """Tasks that no client knows of."""
    rows = rig.database.execute("INSERT INTO tasks (title) VALUES ('one'), ('two') RETURNING id")
    return int(str(rows[0][0])), int(str(rows[1][0]))


@contextmanager
def disk_filled(rig: Rig) -> Iterator[float]:
    assert rig.disk is not None
    began = time.monotonic()
    fill(rig.disk, left=0.05)
    try:
        yield began
    finally:
        (rig.disk / "filling").unlink()


FAULTS = (
    Fault(
        name="database_far_away",
        alert="PoolSaturated",
        told="the network to the database becomes slow, and the pool has one connection",
        labels=of_the_service("warning", "pool_saturated"),
        inject=database_far_away,
        setting=Setting(proxied=True, variables={"TASKMANAGER_POOL_SIZE": "1"}, clients=6, pause_s=0.01),
        fills_window=True,
        within_s=120.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="more_than_it_takes",
        alert="RequestsRefused",
        told="statements become slow, so that more requests are in work than TASKMANAGER_MAX_IN_FLIGHT allows",
        labels=of_the_service("warning", "overloaded"),
        inject=statements_become_slow,
        setting=Setting(faulty=True, variables={"TASKMANAGER_MAX_IN_FLIGHT": "8"}, clients=24, pause_s=0.3),
        within_s=120.0,
        resolved_within_s=250.0,
        # They are errors for whoever meets them.
        allowed=frozenset({"HighErrorRate", "ErrorBudgetBurnFast"}),
    ),
    Fault(
        name="sessions_held_open",
        alert="ConnectionsHigh",
        told="idle sessions take more than 80 % of the connections",
        labels=of_the_service("warning", "connections_high"),
        inject=sessions_held_open,
        seen_within_s=INTERVAL_S,
        within_s=120.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="somebody_waits_for_a_lock",
        alert="LockWait",
        told="a session changes a row that another one holds",
        labels=of_the_service("warning", "lock_wait"),
        inject=somebody_waits_for_a_lock,
        seen_within_s=INTERVAL_S,
        within_s=90.0,
        resolved_within_s=120.0,
    ),
    Fault(
        name="idle_in_transaction",
        alert="LongTransaction",
        told="a session stays in a transaction for more than a minute",
        labels=of_the_service("warning", "long_transaction"),
        inject=idle_in_transaction,
        # The minute itself, from the first reading on.
        seen_within_s=60.0 + 2 * INTERVAL_S,
        within_s=150.0,
        resolved_within_s=120.0,
    ),
    Fault(
        name="crossed_updates",
        alert="Deadlocks",
        told="two sessions change the same two rows in opposite order",
        labels=of_the_service("warning", "deadlocks"),
        inject=crossed_updates,
        # PostgreSQL counts a session's deadlock when it reports, at most once a second.
        seen_within_s=1.0 + INTERVAL_S,
        within_s=60.0,
        resolved_within_s=180.0,
    ),
    Fault(
        name="disk_filled",
        alert="DiskAlmostFull",
        told="a file takes the disk's last tenth",
        labels=of_the_service("warning", "disk_almost_full"),
        inject=disk_filled,
        setting=Setting(disk_bytes=_DISK_BYTES),
        within_s=150.0,
        resolved_within_s=150.0,
    ),
)
