"""Migrations that fail, are killed, or do not end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.rig import Rig
from tests.alerts.rig.release import Release
from tests.databases import Database

REVISION = "5eed00000001"
_WATCHED_EVERY_S = 1.0
# How long PostgreSQL takes to notice that a client is gone, in the middle of a statement.
_NOTICED_AFTER_S = 1.0
# A child process that imports Alembic.
_BEGINS_WITHIN_S = 20.0

FAILS = 'op.execute("ALTER TABLE tasks ADD COLUMN note text REFERENCES a_table_that_is_not_there")'
SUCCEEDS = 'op.execute("ALTER TABLE tasks ADD COLUMN note text")'
SLEEPS = 'op.execute("SELECT pg_sleep(60)")'
_WAITS = """\
from pathlib import Path

while not Path({file!r}).exists():
    op.execute("SELECT pg_sleep(0.2)")
"""


def newest_run(database: Database, column: str) -> object:
    """A column of the ledger's newest run."""
    rows = database.execute(f"SELECT {column} FROM migration_gate_run ORDER BY id DESC LIMIT 1")
    return rows[0][0] if rows else None


def wait_for_run(database: Database, result: str) -> None:
    """Until the newest run of the new revision has this result."""
    deadline = time.monotonic() + _BEGINS_WITHIN_S
    while newest_run(database, "result") != result:
        assert time.monotonic() < deadline, f"no run is {result}"
        time.sleep(0.05)


def monotonic_of(moment: object) -> float:
    """A moment of PostgreSQL's clock, which is this machine's, on that of time.monotonic()."""
    assert isinstance(moment, datetime)
    return time.monotonic() - (time.time() - moment.timestamp())


@contextmanager
def migration_fails(rig: Rig) -> Iterator[float]:
    release = rig.new_release()
    release.revision(REVISION, FAILS)
    failed = release.run("alembic", "upgrade", "head", env=rig.environment(rig.database))
    assert failed.returncode != 0, failed.stdout + failed.stderr
    try:
        yield monotonic_of(newest_run(rig.database, "ended_at"))
    finally:
        _mend(rig)


def _mend(rig: Rig) -> None:
    """What people do: a release whose revision is right, and another run."""
    mended = rig.new_release("mended")
    mended.revision(REVISION, SUCCEEDS)
    done = mended.run("alembic", "upgrade", "head", env=rig.environment(rig.database))
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def migration_killed(rig: Rig) -> Iterator[float]:
    release = rig.new_release()
    release.revision(REVISION, SLEEPS)
    migrator = release.start("migration_gate", "upgrade", env=rig.environment(rig.database))
    wait_for_run(rig.database, "running")
    # A moment in which it is seen to run, as it would be.
    time.sleep(3)
    began = time.monotonic()
    migrator.kill()
    migrator.wait(10)
    try:
        yield began
    finally:
        _mend(rig)


@contextmanager
def start_up_migration_fails(rig: Rig) -> Iterator[float]:
    """The second replica is deployed with a revision that fails, and told to migrate as it starts."""
    release = rig.new_release()
    release.revision(REVISION, FAILS)
    newer = rig.replicas[1]
    newer.stop()
    newer.start({"TASKMANAGER_MIGRATE": "on_start"}, tree=release.tree)
    wait_for_run(rig.database, "failed")
    try:
        yield monotonic_of(newest_run(rig.database, "ended_at"))
    finally:
        newer.stop()
        mended = Release(rig.folder / "mended")
        mended.revision(REVISION, SUCCEEDS)
        newer.start(tree=mended.tree)
        newer.wait_until_ready()


@contextmanager
def migration_does_not_end(rig: Rig) -> Iterator[float]:
    go_on = rig.folder / "go-on"
    release = rig.new_release()
    release.revision(REVISION, _WAITS.format(file=str(go_on)))
    migrator = release.start("migration_gate", "upgrade", env=rig.environment(rig.database))
    try:
        wait_for_run(rig.database, "running")
        yield monotonic_of(newest_run(rig.database, "started_at"))
    finally:
        go_on.touch()
        migrator.wait(30)


def _failed(name: str, told: str, **more: object) -> Fault:
    options: dict[str, object] = {"seen_within_s": _WATCHED_EVERY_S} | more
    return Fault(
        name=name,
        alert="MigrationFailed",
        told=told,
        labels=of_the_service("critical", "migration_failed"),
        **options,  # type: ignore[arg-type]
    )


FAULTS = (
    _failed(
        "migration_fails", "`alembic upgrade head` with a revision that PostgreSQL refuses", inject=migration_fails
    ),
    _failed(
        "start_up_migration_fails",
        "one of two replicas is deployed with such a revision, and migrates as it starts",
        inject=start_up_migration_fails,
        setting=Setting(replicas=2),
        allowed=frozenset({"SchemaNotMigrated"}),
        muted=frozenset({"ReplicaNotReady"}),
    ),
    _failed(
        "migration_killed",
        "the migrator is killed in the middle of a revision",
        inject=migration_killed,
        seen_within_s=_WATCHED_EVERY_S + _NOTICED_AFTER_S,
        fills_window=True,
    ),
    Fault(
        name="migration_does_not_end",
        alert="MigrationStuck",
        told="a migration that does not come to its end",
        labels=of_the_service("warning", "migration_stuck"),
        inject=migration_does_not_end,
        setting=Setting(shortened=20),
        seen_within_s=_WATCHED_EVERY_S,
        within_s=90.0,
        resolved_within_s=120.0,
    ),
)
