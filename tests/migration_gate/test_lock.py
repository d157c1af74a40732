"""The migration lock between real processes, some of which die."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest
from sqlalchemy import create_engine, pool

from migration_gate import lock
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.tables import VersionTable
from tests.databases import Database
from tests.migration_gate.scratch import (
    CREATE_INDEX,
    HISTORY,
    Project,
    applied,
    runs,
    sessions,
    succeed,
    tables,
    until,
    versions,
)

SLEEPING = "query = 'SELECT pg_sleep(60)' AND state = 'active'"
# The first migrator lies in a long statement; once the file is there, whoever comes next does not.
LONG = """\
if not pathlib.Path("quick").exists():
    op.execute("SELECT pg_sleep(60)")
op.execute("CREATE TABLE shelf (id int)")
"""
TALKATIVE_ENV = """\
import logging
logging.basicConfig(level=logging.INFO)
from migration_gate.environment import run
from models import metadata
run(metadata, lock_deadline_s={deadline})
"""


@pytest.fixture
def slow_project(bare_project: Project) -> Project:
    """A project whose one migration lies in a statement of a minute."""
    bare_project.revision("f00d", None, LONG)
    bare_project.write_env(TALKATIVE_ENV.format(deadline=60))
    return bare_project


def _holder(database: Database) -> tuple[int, str]:
    """The server process that holds an advisory lock on the database, and its application's name."""
    rows = database.execute(
        "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()"
    )
    ((pid, name),) = rows
    return int(str(pid)), str(name)


def test_a_second_migrator_names_the_holder_waits_and_finds_nothing_to_do(
    bare_project: Project, empty_database: Database
) -> None:
    hold = (
        "import time\n"
        "while not pathlib.Path('quick').exists():\n"
        "    time.sleep(0.02)\n"
        "op.execute('CREATE TABLE shelf (id int)')"
    )
    bare_project.revision("f00d", None, hold)
    bare_project.write_env(TALKATIVE_ENV.format(deadline=60))

    with bare_project.running("alembic", "upgrade", "head") as first:
        until(lambda: "migration_gate_run" in tables(empty_database) and runs(empty_database))
        pid, name = _holder(empty_database)
        with bare_project.running("alembic", "upgrade", "head") as second:
            assert second.stdout is not None
            said = ""
            while "waiting for the migration lock" not in said:
                line = second.stdout.readline()
                assert line, f"ended without a word about the lock: {said}"
                said += line
            assert f"{name} (server process {pid}, " in said
            (bare_project.folder / "quick").touch()
            assert first.wait(timeout=30) == 0
            rest = second.stdout.read()
            assert second.wait(timeout=30) == 0

    assert "Running upgrade" not in rest
    assert name.endswith(f":{first.pid}")
    assert applied(empty_database) == [("f00d", "upgrade")]
    assert runs(empty_database) == [("upgrade", "succeeded")]
    waited = empty_database.execute("SELECT lock_wait > interval '0' FROM migration_gate_run ORDER BY id DESC LIMIT 1")
    assert waited == [(True,)]


def test_a_migrator_that_waited_to_its_deadline_names_the_holder_and_how_to_end_it(
    slow_project: Project, empty_database: Database
) -> None:
    with slow_project.running("alembic", "upgrade", "head"):
        until(lambda: sessions(empty_database, SLEEPING))
        pid, name = _holder(empty_database)
        slow_project.write_env(TALKATIVE_ENV.format(deadline=0.3))
        late = slow_project.gate("upgrade")

    assert late.returncode == 75
    assert "Another migrator held the migration lock" in late.stderr
    assert name in late.stderr
    assert f"SELECT pg_terminate_backend({pid})" in late.stderr
    assert runs(empty_database) == [("upgrade", "running")]


def test_a_holder_whose_session_is_ended_fails_and_its_successor_finishes(
    slow_project: Project, empty_database: Database
) -> None:
    with slow_project.running("alembic", "upgrade", "head") as holder:
        until(lambda: sessions(empty_database, SLEEPING))
        pid, _ = _holder(empty_database)
        with slow_project.running("alembic", "upgrade", "head") as successor:
            until(lambda: sessions(empty_database, "application_name LIKE 'migration-gate%'") == 2)
            (slow_project.folder / "quick").touch()
            empty_database.execute("SELECT pg_terminate_backend(%s)", pid)
            assert holder.wait(timeout=30) != 0
            assert successor.wait(timeout=30) == 0

    assert applied(empty_database) == [("f00d", "upgrade")]
    assert runs(empty_database) == [("upgrade", "failed"), ("upgrade", "succeeded")]


def test_a_holder_that_is_killed_frees_the_lock_and_is_known_to_have_failed(
    slow_project: Project, empty_database: Database
) -> None:
    with slow_project.running("alembic", "upgrade", "head") as holder:
        until(lambda: sessions(empty_database, SLEEPING))
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=10)
    assert runs(empty_database) == [("upgrade", "running")]
    (slow_project.folder / "quick").touch()

    succeed(slow_project.alembic("upgrade", "head"))

    assert versions(empty_database) == ["f00d"]
    assert runs(empty_database) == [("upgrade", "failed"), ("upgrade", "succeeded")]
    first = empty_database.execute("SELECT error, ended_at IS NOT NULL FROM migration_gate_run ORDER BY id LIMIT 1")
    assert first == [("the migrator disappeared before the run ended", True)]
    assert sessions(empty_database, SLEEPING) == 0


def test_four_migrators_at_once_apply_each_revision_once(project: Project, empty_database: Database) -> None:
    project.revision(
        "1111", HISTORY[-1], CREATE_INDEX.replace("book_title", "shelf_label").replace("book (title)", "shelf (label)")
    )

    with ExitStack() as stack:
        migrating = [stack.enter_context(project.running("alembic", "upgrade", "head")) for _ in range(4)]
        outputs = [process.communicate(timeout=90)[0] for process in migrating]

    assert [process.returncode for process in migrating] == [0] * 4, outputs
    assert applied(empty_database) == [(revision, "upgrade") for revision in (*HISTORY, "1111")]
    assert runs(empty_database) == [("upgrade", "succeeded")]
    assert empty_database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_the_lock_is_held_outside_any_transaction_and_goes_with_its_session(empty_database: Database) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url), poolclass=pool.NullPool)
    table = VersionTable()
    with engine.connect() as second:
        with engine.connect() as first:
            lock.acquire(first, table, 0)
            assert not first.in_transaction()
            with pytest.raises(lock.LockNotAcquired, match="an unnamed session"):
                lock.acquire(second, table, 0)
        lock.acquire(second, table, 5)


def test_sessions_with_other_search_paths_meet_in_one_lock(empty_database: Database) -> None:
    empty_database.execute("CREATE TABLE alembic_version (version_num varchar(32))")
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url), poolclass=pool.NullPool)
    with engine.connect() as first, engine.connect() as second:
        second.exec_driver_sql("CREATE SCHEMA priv")
        second.exec_driver_sql("SET search_path = priv, public")
        second.commit()
        lock.acquire(first, VersionTable(), 0)
        with pytest.raises(lock.LockNotAcquired):
            lock.acquire(second, VersionTable(), 0)


def test_each_version_table_has_a_lock_of_its_own(empty_database: Database) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url), poolclass=pool.NullPool)
    with engine.connect() as first, engine.connect() as second:
        lock.acquire(first, VersionTable(), 0)
        lock.acquire(second, VersionTable("edition"), 0)
        lock.acquire(second, VersionTable(schema="books"), 0)

    assert lock.lock_key("public", "alembic_version") != lock.lock_key("public", "edition")
    assert -(2**63) <= lock.lock_key("public", "alembic_version") < 2**63


def test_a_version_table_in_the_named_current_schema_has_the_lock_of_the_unnamed_one(empty_database: Database) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url), poolclass=pool.NullPool)
    with engine.connect() as first, engine.connect() as second:
        lock.acquire(first, VersionTable(), 0)
        with pytest.raises(lock.LockNotAcquired):
            lock.acquire(second, VersionTable(schema="public"), 0)


@pytest.mark.parametrize("schema", ["public", "a", "b", "c", "d", "e", "f"])
def test_the_holder_is_found_whatever_the_keys_sign(empty_database: Database, schema: str) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url), poolclass=pool.NullPool)
    key = lock.lock_key(schema, "alembic_version")
    with engine.connect() as connection:
        assert lock.holder(connection, key) is None
        lock.acquire(connection, VersionTable(schema=schema), 0)
        held = lock.holder(connection, key)
        assert held is not None
        assert held.pid == connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
