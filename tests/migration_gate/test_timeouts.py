"""How long a migration waits for a table, and how long for an older transaction."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine, text

from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.timeouts import bound_lock_waits
from tests.databases import Database
from tests.migration_gate.scratch import (
    CREATE_INDEX,
    ENV,
    Project,
    applied,
    runs,
    sessions,
    succeed,
    until,
    versions,
)


def _library(project: Project, database: Database) -> None:
    project.write_env(
        'from migration_gate.environment import run\nfrom models import metadata\nrun(metadata, lock_timeout="200ms")'
    )
    project.sql("f00d", None, "CREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL)")
    succeed(project.alembic("upgrade", "head"))


def test_a_migration_of_a_locked_table_fails_with_55p03_and_does_not_hang(
    bare_project: Project, empty_database: Database
) -> None:
    _library(bare_project, empty_database)
    bare_project.write_env(ENV.format(options=", lock_timeout='200ms', retry_s=1"))
    bare_project.sql("beef", "f00d", "ALTER TABLE book ADD COLUMN year int")

    with psycopg.connect(empty_database.migrator_url, application_name="a long report") as reader:
        reader.execute("LOCK TABLE book IN ACCESS EXCLUSIVE MODE")
        failed = bare_project.alembic("upgrade", "head")
        pid = reader.info.backend_pid

    assert failed.returncode != 0
    told = failed.stdout + failed.stderr
    assert "A table stayed locked by another session for 1 s" in told
    assert f"server process {pid} (a long report, role taskmanager_migrator, idle in transaction" in told
    assert f"SELECT pg_terminate_backend({pid})" in told
    assert runs(empty_database)[-1] == ("upgrade", "failed")
    [(error, retries)] = empty_database.execute(
        "SELECT error, lock_retries FROM migration_gate_run ORDER BY id DESC LIMIT 1"
    )
    assert str(error).startswith("A table stayed locked")
    assert int(str(retries)) >= 1
    assert versions(empty_database) == ["f00d"]

    succeed(bare_project.alembic("upgrade", "head"))


def test_the_bound_holds_in_the_transaction_after_an_autocommit_block(
    bare_project: Project, empty_database: Database
) -> None:
    _library(bare_project, empty_database)
    bare_project.sql("5e1f", "f00d", "CREATE TABLE shelf (id int)")
    succeed(bare_project.alembic("upgrade", "head"))
    bare_project.revision("beef", "5e1f", CREATE_INDEX + 'op.execute("ALTER TABLE shelf ADD COLUMN year int")')
    bare_project.write_env(ENV.format(options=", lock_timeout='200ms', retry_s=1"))

    with psycopg.connect(empty_database.migrator_url) as reader:
        reader.execute("LOCK TABLE shelf IN ACCESS SHARE MODE")
        failed = bare_project.alembic("upgrade", "head")

    assert failed.returncode != 0
    assert "A table stayed locked by another session" in failed.stdout + failed.stderr
    # The index was built before, and is not built again.
    succeed(bare_project.alembic("upgrade", "head"))
    assert versions(empty_database) == ["beef"]


def test_an_index_built_concurrently_waits_for_an_older_transaction_past_the_bound(
    bare_project: Project, empty_database: Database
) -> None:
    _library(bare_project, empty_database)
    bare_project.revision("beef", "f00d", CREATE_INDEX)

    with psycopg.connect(empty_database.migrator_url) as older:
        older.execute("INSERT INTO book (title) VALUES ('Emma')")
        with bare_project.running("alembic", "upgrade", "head") as migrating:
            waiting = "query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock' AND query_start < now() - interval '1 s'"
            until(lambda: sessions(empty_database, waiting))
            assert migrating.poll() is None
            older.commit()
            assert migrating.wait(timeout=30) == 0

    assert applied(empty_database)[-1] == ("beef", "upgrade")
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'book_title'::regclass"
    assert empty_database.execute(valid) == [(True,)]


@pytest.mark.parametrize("bad", ["3 seconds", "", "3s'; DROP TABLE book; --", "-1"])
def test_a_bound_that_is_no_duration_is_refused(empty_database: Database, bad: str) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url))
    with engine.connect() as connection, pytest.raises(ValueError, match="3s or 500ms"):
        bound_lock_waits(connection, bad)
    engine.dispose()


def test_the_bound_is_set_anew_after_a_rollback_and_never_in_autocommit(empty_database: Database) -> None:
    engine = create_engine(sqlalchemy_url(empty_database.migrator_url))
    show = text("SHOW lock_timeout")
    with engine.connect() as connection:
        bound_lock_waits(connection, "700ms")
        first = connection.scalar(show)
        connection.rollback()
        second = connection.scalar(show)
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        third = connection.scalar(show)
    engine.dispose()

    assert (first, second, third) == ("700ms", "700ms", "0")
