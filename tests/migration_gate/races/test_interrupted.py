"""Migrators that are killed, lose their session or their network, in the middle of each kind of step."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.databases import EMPTY_TEMPLATE, Database, Server
from tests.migration_gate.races.black_hole import BlackHole
from tests.migration_gate.races.halting import (
    BASE,
    BATCHES,
    DDL,
    HALTING,
    INDEXES,
    ORDINARY,
    PENDING,
    Halt,
    Seen,
    base,
    next_release,
    noted,
    see,
)
from tests.migration_gate.scratch import Project, applied, sessions, succeed, until

# With its successor, and on a machine that does other work.
pytestmark = pytest.mark.timeout(400)

# Where the upgrade halts: the revision that is recorded when it is cut off there, and what is found then.
POINTS = {
    "transactional DDL": (BASE, {"behind"}),
    "between two revisions": (DDL, {"behind"}),
    "a long statement": (DDL, {"behind"}),
    "CREATE INDEX CONCURRENTLY": ("0abc", {"behind", "incomplete"}),
    "an ordinary statement": (INDEXES, {"behind", "incomplete"}),
    "a batch": (ORDINARY, {"behind", "incomplete"}),
    "the proof": (BATCHES, set[str]()),
}
HOW = ("is killed", "loses its session", "loses its network")

# How long the server may take to know. With a network that swallows everything it is the gate's settings that decide.
FREED_WITHIN_S = {"is killed": 15.0, "loses its session": 15.0, "loses its network": 45.0}
FINISHED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def at_base(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database, to be copied, that the release in use has migrated."""
    with server.database(EMPTY_TEMPLATE) as database:
        succeed(base(tmp_path_factory.mktemp("base") / "base", database.migrator_url).alembic("upgrade", "head"))
        database.execute(HALTING)
        yield database


@pytest.fixture(scope="module")
def undisturbed(server: Server, at_base: Database, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """What an upgrade that nothing disturbs leaves after each revision."""
    with server.database(at_base.name) as database:
        before = see(database)
        project = next_release(tmp_path_factory.mktemp("undisturbed") / "next", database.migrator_url)
        (project.folder / "note").touch()
        succeed(project.gate("upgrade"))
        found = noted(project) | {BASE: before}
        assert see(database) == found[BATCHES]
    assert set(found) == {BASE, *PENDING}
    return found


@pytest.fixture
def database(server: Server, at_base: Database) -> Iterator[Database]:
    with server.database(at_base.name) as database:
        yield database


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Project:
    """The next release's project."""
    return next_release(tmp_path / "next", database.migrator_url)


@pytest.fixture
def hole(database: Database) -> Iterator[BlackHole]:
    with BlackHole(database.migrator_url) as hole:
        yield hole


def _sessions_of(process: subprocess.Popen[str]) -> str:
    return f"application_name LIKE 'migration-gate %:{process.pid}'"


def _holds(process: subprocess.Popen[str]) -> str:
    # A session that was only just opened when the network went is not looked after yet; it has nothing to hold either,
    # but the lock on its own transaction.
    return f"{_sessions_of(process)} AND pid IN (SELECT pid FROM pg_locks WHERE locktype <> 'virtualxid')"


def _disturb(how: str, migrating: subprocess.Popen[str], database: Database, hole: BlackHole) -> None:
    if how == "is killed":
        migrating.kill()
    elif how == "loses its network":
        hole.cut()
    else:
        # The one that migrates, or would: the lookout's and the proof's sessions came after it.
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND {_sessions_of(migrating)} ORDER BY backend_start LIMIT 1"
        )


def _status(project: Project) -> dict[str, object]:
    told = project.gate("status", "--json")
    assert told.stdout, told.stderr
    document: dict[str, object] = json.loads(told.stdout)
    return document


def _found(status: dict[str, object]) -> dict[str, str]:
    findings = status["findings"]
    assert isinstance(findings, list)
    return {finding["state"]: finding["evidence"] for finding in findings}


def _advisory_locks(database: Database) -> int:
    rows = database.execute(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND l.locktype = 'advisory'"
    )
    return int(str(rows[0][0]))


def _upgrade(project: Project) -> None:
    """Upgrade to the end, to a schema of which nothing is to be said."""
    done = project.gate("upgrade", "--json")
    succeed(done)
    verdict = json.loads(done.stdout)
    assert (verdict["state"], verdict["findings"]) == ("current", [])


def _assert_finished(database: Database, undisturbed: dict[str, Seen]) -> None:
    assert see(database) == undisturbed[BATCHES]
    assert applied(database) == [(revision, "upgrade") for revision in (BASE, *PENDING)]
    assert database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert database.execute("SELECT count(*) FROM migration_gate_step WHERE NOT settled") == [(0,)]
    assert _advisory_locks(database) == 0


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("point", POINTS)
def test_a_migrator_that_is_cut_off_leaves_nothing_unnamed_and_its_successor_finishes(
    shop: Project,
    database: Database,
    hole: BlackHole,
    undisturbed: dict[str, Seen],
    point: str,
    how: str,
) -> None:
    recorded, expected = POINTS[point]
    through = hole.url if how == "loses its network" else shop.url
    halt = Halt(shop, database, point)
    with ExitStack() as stack:
        stack.callback(halt.release)
        migrating = stack.enter_context(shop.running("migration_gate", "upgrade", MIGRATION_DATABASE_URL=through))
        until(lambda: halt.reached or migrating.poll() is not None, 60)
        assert migrating.poll() is None, migrating.communicate()[0]

        began = time.monotonic()
        _disturb(how, migrating, database, hole)
        if how == "loses its session":
            # Its lock is gone; what it goes on with meets that.
            halt.release()
            until(lambda: migrating.poll() is not None, 60)
            assert point == "the proof" or migrating.returncode != 0
        until(lambda: not sessions(database, _holds(migrating)), FREED_WITHIN_S[how])
        freed_s = time.monotonic() - began
        assert _advisory_locks(database) == 0

        left = see(database)
        found = _found(_status(shop))
        assert (left.revision, set(found)) == (recorded, expected)
        # What is half done is named, with the revision that it is half of.
        whole = left == undisturbed[left.revision]
        half_of = PENDING[PENDING.index(recorded) + 1] if recorded in PENDING[:-1] else None
        assert whole or f"revision {half_of} stopped halfway" in found["incomplete"]

        halt.release()
        began = time.monotonic()
        _upgrade(shop)
        finished_s = time.monotonic() - began
        assert finished_s < FINISHED_WITHIN_S
        _assert_finished(database, undisturbed)
        if how == "loses its network":
            # On the other side nobody waits for ever either.
            until(lambda: migrating.poll() is not None, 60)
            assert migrating.returncode != 0
            assert see(database) == undisturbed[BATCHES]
    print(f"{point}, the migrator {how}: freed after {freed_s:.1f} s, finished in {finished_s:.1f} s")


@pytest.mark.parametrize("how", HOW)
def test_one_that_is_cut_off_while_it_waits_for_the_lock_disturbs_nobody(
    shop: Project, database: Database, hole: BlackHole, undisturbed: dict[str, Seen], how: str
) -> None:
    through = hole.url if how == "loses its network" else shop.url
    halt = Halt(shop, database, "between two revisions")
    with ExitStack() as stack:
        stack.callback(halt.release)
        holder = stack.enter_context(shop.running("migration_gate", "upgrade"))
        until(lambda: halt.reached, 60)
        waiting = stack.enter_context(shop.running("migration_gate", "upgrade", MIGRATION_DATABASE_URL=through))
        until(lambda: _told_of_waiting(waiting), 60)

        _disturb(how, waiting, database, hole)
        until(lambda: not sessions(database, _holds(waiting)), FREED_WITHIN_S[how])
        assert waiting.wait(timeout=60) != 0
        assert set(_found(_status(shop))) == {"behind"}
        assert see(database) == undisturbed[DDL]

        halt.release()
        said, _ = holder.communicate(timeout=60)
        assert holder.returncode == 0, said
    _upgrade(shop)
    _assert_finished(database, undisturbed)


def _told_of_waiting(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "ended without a word about the lock"
    return "waiting for the migration lock" in line


def test_one_that_waits_leaves_when_there_is_nothing_left_to_do_and_not_when_the_lock_is_free(
    shop: Project, database: Database
) -> None:
    working, proving = Halt(shop, database, "between two revisions"), Halt(shop, database, "the proof")
    with ExitStack() as stack:
        stack.callback(proving.release)
        stack.callback(working.release)
        holder = stack.enter_context(shop.running("migration_gate", "upgrade"))
        until(lambda: working.reached, 60)
        waiting = stack.enter_context(shop.running("migration_gate", "upgrade"))
        until(lambda: _told_of_waiting(waiting), 60)

        working.release()

        # Sixteen that queued up for the lock would cost each other seconds to find that one has done their work.
        assert waiting.wait(timeout=60) == 0
        assert proving.reached
        assert holder.poll() is None
        assert _advisory_locks(database) == 1
        proving.release()
        assert holder.wait(timeout=60) == 0
    assert applied(database) == [(revision, "upgrade") for revision in (BASE, *PENDING)]


def test_a_successor_that_waits_already_takes_over_from_one_that_lost_its_network(
    shop: Project, database: Database, hole: BlackHole, undisturbed: dict[str, Seen]
) -> None:
    halt = Halt(shop, database, "transactional DDL")
    with ExitStack() as stack:
        stack.callback(halt.release)
        lost = stack.enter_context(shop.running("migration_gate", "upgrade", MIGRATION_DATABASE_URL=hole.url))
        until(lambda: halt.reached, 60)
        hole.cut()
        began = time.monotonic()
        halt.release()
        said = succeed(shop.gate("upgrade"))
        took_s = time.monotonic() - began
        assert took_s < FREED_WITHIN_S["loses its network"] + FINISHED_WITHIN_S
        assert lost.wait(timeout=60) != 0
    assert "waiting for the migration lock" in said
    _assert_finished(database, undisturbed)
    print(f"the successor finished {took_s:.1f} s after the network was cut")
