"""Requests that meet an error of the database, of each kind that can be made from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from stack.postgres.roles import APP
from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.rig import Rig

# A statement gives up on a lock after 1.2 s, and a request on a connection of the pool after 1.4 s; they are looked
# for ten times a second.
_LOCK_TIMEOUT_S = 1.2
_POOL_TIMEOUT_S = 1.5
# Between two requests of all clients together, at most.
_NEXT_REQUEST_S = 0.3


@contextmanager
def postgres_stopped(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.laboratory.stop()
    try:
        yield began
    finally:
        rig.laboratory.start()


@contextmanager
def column_taken_away(rig: Rig) -> Iterator[float]:
    """Renamed and not dropped, so that it can come back as it was."""
    with psycopg.connect(rig.database.migrator_url, autocommit=True) as session:
        began = time.monotonic()
        session.execute("ALTER TABLE tasks RENAME COLUMN priority TO priority_of_before")
    try:
        yield began
    finally:
        rig.database.execute("ALTER TABLE tasks RENAME COLUMN priority_of_before TO priority")


@contextmanager
def privilege_revoked(rig: Rig) -> Iterator[float]:
    with psycopg.connect(rig.database.migrator_url, autocommit=True) as session:
        began = time.monotonic()
        session.execute(f"REVOKE SELECT ON tasks FROM {APP}")
    try:
        yield began
    finally:
        rig.database.execute(f"GRANT SELECT ON tasks TO {APP}")


@contextmanager
def table_locked(rig: Rig) -> Iterator[float]:
    with psycopg.connect(rig.database.migrator_url) as session:
        session.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        yield time.monotonic()


_CAUSES_TOLD_TOO = frozenset({"SchemaBroken", "ErrorsAtLowTraffic", "HighErrorRate"})
# Its end is told when none has come for ten seconds, and half a minute after that.
_RESOLVED_WITHIN_S = 75.0


def _fault(name: str, told: str, kind: str, **more: object) -> Fault:
    options: dict[str, object] = {"seen_within_s": _NEXT_REQUEST_S, "resolved_within_s": _RESOLVED_WITHIN_S} | more
    return Fault(
        name=name,
        alert="DatabaseError",
        told=told,
        labels=of_the_service("critical", "database_error", kind=kind),
        **options,  # type: ignore[arg-type]
    )


FAULTS = (
    _fault(
        "postgres_stopped",
        "PostgreSQL is stopped",
        "connection",
        inject=postgres_stopped,
        allowed=frozenset({"DatabaseUnreachable"}),
    ),
    _fault(
        "column_taken_away",
        "a column that statements read is renamed",
        "schema",
        inject=column_taken_away,
        allowed=_CAUSES_TOLD_TOO,
    ),
    _fault(
        "privilege_revoked",
        "SELECT on the table is revoked from the application's role",
        "privilege",
        inject=privilege_revoked,
        allowed=_CAUSES_TOLD_TOO,
    ),
    _fault(
        "table_locked",
        "a session keeps the table locked",
        "lock_timeout",
        inject=table_locked,
        seen_within_s=_NEXT_REQUEST_S + _LOCK_TIMEOUT_S,
        allowed=frozenset({"LockWait"}),
    ),
    _fault(
        "pool_used_up",
        "the one connection of a pool waits for a lock",
        "pool_timeout",
        inject=table_locked,
        setting=Setting(variables={"TASKMANAGER_POOL_SIZE": "1"}, clients=4),
        seen_within_s=_NEXT_REQUEST_S + _POOL_TIMEOUT_S,
        allowed=frozenset({"LockWait"}),
    ),
)
