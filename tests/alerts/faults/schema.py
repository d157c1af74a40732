"""A schema that the code does not fit, or does not trust."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from taskmanager.app import PROVE_EVERY_S
from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.faults.database import column_taken_away, privilege_revoked
from tests.alerts.faults.migrations import REVISION, SUCCEEDS, monotonic_of
from tests.alerts.rig import Rig
from tests.databases import MIGRATED_TEMPLATE
from tests.processes import run

_WATCHED_EVERY_S = 1.0
_COMPARED_EVERY_S = 30.0
_NEXT_REQUEST_S = 0.3
# From the start of a process to its first look at the schema.
_STARTED_WITHIN_S = 2.0
_NEWER = "5eed00000002"
_NOT_OURS = "0ddba11cafe5"


@contextmanager
def deployed_on_an_empty_database(rig: Rig) -> Iterator[float]:
    empty = rig.another_database()
    yield from _deployed(rig, rig.environment(empty))


@contextmanager
def deployed_without_migrating(rig: Rig) -> Iterator[float]:
    release = rig.new_release()
    release.revision(REVISION, SUCCEEDS)
    newer = rig.replicas[1]
    newer.stop()
    began = newer.start(tree=release.tree)
    try:
        yield began
    finally:
        done = release.run("alembic", "upgrade", "head", env=rig.environment(rig.database))
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def deployed_on_another_projects_database(rig: Rig) -> Iterator[float]:
    another = rig.another_database(MIGRATED_TEMPLATE)
    another.execute("UPDATE migration_gate_ledger SET project = 'feedfacefeedfacefeedfacefeedface'")
    yield from _deployed(rig, rig.environment(another))


def _deployed(rig: Rig, variables: dict[str, str]) -> Iterator[float]:
    """The second replica is started anew on another database, and then on the right one again."""
    newer = rig.replicas[1]
    before = dict(newer.environment)
    newer.stop()
    began = newer.start(variables)
    try:
        yield began
    finally:
        newer.stop()
        newer.start(before)
        newer.wait_until_ready()


@contextmanager
def an_older_version_table(rig: Rig) -> Iterator[float]:
    """As after a restore of one table alone."""
    yield from _recorded(rig, "b94e2d60c71f")


@contextmanager
def an_unknown_revision(rig: Rig) -> Iterator[float]:
    yield from _recorded(rig, _NOT_OURS)


def _recorded(rig: Rig, revision: str) -> Iterator[float]:
    ((before,),) = rig.database.execute("SELECT version_num FROM alembic_version")
    with psycopg.connect(rig.database.migrator_url, autocommit=True) as session:
        began = time.monotonic()
        session.execute("UPDATE alembic_version SET version_num = %s", [revision])
    try:
        yield began
    finally:
        rig.database.execute("UPDATE alembic_version SET version_num = %s", before)


@contextmanager
def newer_release_contracted(rig: Rig) -> Iterator[float]:
    """A newer release has taken away a column of its own; code that knows neither of its revisions is left behind."""
    release = rig.new_release()
    release.revision(REVISION, SUCCEEDS)
    release.revision(_NEWER, 'op.execute("ALTER TABLE tasks DROP COLUMN note")')
    done = release.run("alembic", "upgrade", "head", env=rig.environment(rig.database))
    assert done.returncode == 0, done.stdout + done.stderr
    ((applied_at,),) = rig.database.execute(
        "SELECT applied_at FROM migration_gate_revision WHERE revision = %s", _NEWER
    )
    began = monotonic_of(applied_at)
    try:
        yield began
    finally:
        for replica in rig.replicas:
            replica.stop()
            replica.start(tree=release.tree)
            replica.wait_until_ready()


@contextmanager
def schema_changed_by_hand(rig: Rig) -> Iterator[float]:
    with psycopg.connect(rig.database.migrator_url, autocommit=True) as session:
        began = time.monotonic()
        session.execute("CREATE INDEX by_hand ON tasks (updated_at, title)")
    try:
        yield began
    finally:
        rig.database.execute("DROP INDEX by_hand")


@contextmanager
def check_cut_off(rig: Rig) -> Iterator[float]:
    """The network to the database falls silent for the second replica alone."""
    began = time.monotonic()
    rig.proxies[1].fall_silent()
    try:
        yield began
    finally:
        rig.proxies[1].restore()


@contextmanager
def glass_broken(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    _override(rig, "--for", "10m", "--reason", "a proof")
    try:
        yield began
    finally:
        _override(rig, "--end", "--reason", "it is proven")


def _override(rig: Rig, *arguments: str) -> None:
    command = (sys.executable, "-m", "migration_gate", "ledger", "override", *arguments)
    done = run(*command, env=rig.environment(rig.database))
    assert done.returncode == 0, done.stdout + done.stderr


def _not_migrated(name: str, told: str, code: str, **more: object) -> Fault:
    return _immediate("SchemaNotMigrated", name, told, code, **more)


def _mismatch(name: str, told: str, code: str, **more: object) -> Fault:
    return _immediate("SchemaMismatch", name, told, code, **more)


def _broken(name: str, told: str, code: str, **more: object) -> Fault:
    return _immediate("SchemaBroken", name, told, code, **more)


def _immediate(alert: str, name: str, told: str, code: str, **more: object) -> Fault:
    options: dict[str, object] = {"seen_within_s": _WATCHED_EVERY_S, "muted": _FOLLOWS} | more
    return Fault(name=name, alert=alert, told=told, labels=of_the_service("critical", code), **options)  # type: ignore[arg-type]


_FOLLOWS = frozenset({"ReplicaNotReady", "HighErrorRate", "ErrorsAtLowTraffic"})
_TOLD_TOO = frozenset({"DatabaseError"})
_TWO = Setting(replicas=2)

FAULTS = (
    _not_migrated(
        "deployed_on_an_empty_database",
        "one of two replicas is started on a database that was never migrated",
        "never_migrated",
        inject=deployed_on_an_empty_database,
        setting=_TWO,
        seen_within_s=_STARTED_WITHIN_S,
    ),
    _not_migrated(
        "deployed_without_migrating",
        "one of two replicas is deployed with a revision that nobody applies",
        "behind",
        inject=deployed_without_migrating,
        setting=_TWO,
        seen_within_s=_STARTED_WITHIN_S,
    ),
    _not_migrated(
        "an_older_version_table",
        "the version table is set back to an older revision",
        "behind",
        inject=an_older_version_table,
    ),
    _mismatch("an_unknown_revision", "an unknown revision is stamped", "diverged", inject=an_unknown_revision),
    _mismatch(
        "newer_release_contracted",
        "a newer release migrates and takes away what older code might use",
        "ahead_incompatible",
        inject=newer_release_contracted,
        setting=_TWO,
    ),
    _mismatch(
        "deployed_on_another_projects_database",
        "one of two replicas is started on another project's database",
        "wrong_database",
        inject=deployed_on_another_projects_database,
        setting=_TWO,
        seen_within_s=_STARTED_WITHIN_S,
    ),
    _broken(
        "column_taken_away",
        "a column that statements read is renamed",
        "statement_broken",
        inject=column_taken_away,
        allowed=_TOLD_TOO,
        seen_within_s=_NEXT_REQUEST_S,
    ),
    _broken(
        "privilege_revoked",
        "SELECT on the table is revoked from the application's role",
        "privileges_missing",
        inject=privilege_revoked,
        allowed=_TOLD_TOO,
        seen_within_s=_NEXT_REQUEST_S,
    ),
    _broken(
        "column_taken_away_at_night",
        "the same, and nobody sends a request",
        "statement_broken",
        inject=column_taken_away,
        setting=Setting(clients=0),
        allowed=_TOLD_TOO,
        seen_within_s=_WATCHED_EVERY_S + PROVE_EVERY_S,
    ),
    Fault(
        name="schema_changed_by_hand",
        alert="SchemaSuspect",
        told="an index is made by hand",
        labels=of_the_service("warning", "drifted"),
        inject=schema_changed_by_hand,
        seen_within_s=_COMPARED_EVERY_S + _WATCHED_EVERY_S,
        within_s=120.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="check_cut_off",
        alert="SchemaCheckStale",
        told="one of two replicas gets no more answers from its database",
        labels=of_the_service("warning", "schema_check_stale"),
        inject=check_cut_off,
        setting=Setting(replicas=2, proxied=True),
        seen_within_s=30.0,
        within_s=90.0,
        allowed=frozenset({"DatabaseError", "ReplicaNotReady"}),
        resolved_within_s=150.0,
    ),
    Fault(
        name="glass_broken",
        alert="GateOverridden",
        told="`migration-gate ledger override --for 10m`",
        labels=of_the_service("warning", "override_active"),
        inject=glass_broken,
        seen_within_s=_STARTED_WITHIN_S + _WATCHED_EVERY_S,
        within_s=60.0,
        resolved_within_s=120.0,
    ),
)
