"""What the ledger holds and how its tables come to be."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine, pool
from sqlalchemy.engine import Engine

from migration_gate import ledger
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.tables import LEDGER_TABLES, VersionTable
from tests.databases import Database
from tests.migration_gate.scratch import BOOK, SHELF, TITLE_INDEX, Project, applied, runs, succeed, tables

TABLE = VersionTable()


def _engine(database: Database) -> Engine:
    return create_engine(sqlalchemy_url(database.migrator_url), poolclass=pool.NullPool)


def test_the_tables_are_made_once_and_left_alone_afterwards(empty_database: Database) -> None:
    with _engine(empty_database).begin() as connection:
        ledger.ensure_tables(connection, TABLE)
    with _engine(empty_database).begin() as connection:
        ledger.begin_run(connection, TABLE, "upgrade", 0.25)
        ledger.ensure_tables(connection, TABLE)

    assert tables(empty_database) == set(LEDGER_TABLES)
    assert runs(empty_database) == [("upgrade", "running")]


def test_a_table_that_somebody_dropped_is_made_again(empty_database: Database) -> None:
    with _engine(empty_database).begin() as connection:
        ledger.ensure_tables(connection, TABLE)
    empty_database.execute(f"DROP TABLE {ledger.RUN_TABLE}")

    with _engine(empty_database).begin() as connection:
        ledger.ensure_tables(connection, TABLE)

    assert tables(empty_database) == set(LEDGER_TABLES)


def test_a_run_left_running_is_completed_as_failed_by_the_next(empty_database: Database) -> None:
    with _engine(empty_database).begin() as connection:
        ledger.ensure_tables(connection, TABLE)
        ledger.begin_run(connection, TABLE, "upgrade", 0.0)
        ledger.settle_abandoned_runs(connection, TABLE)
        second = ledger.begin_run(connection, TABLE, "downgrade", 1.5)
        ledger.end_run(connection, TABLE, second, None)

    assert runs(empty_database) == [("upgrade", "failed"), ("downgrade", "succeeded")]
    waits = empty_database.execute("SELECT lock_wait::text FROM migration_gate_run ORDER BY id")
    assert waits == [("00:00:00",), ("00:00:01.5",)]


def test_a_run_that_ends_with_an_error_has_failed(empty_database: Database) -> None:
    with _engine(empty_database).begin() as connection:
        ledger.ensure_tables(connection, TABLE)
        run = ledger.begin_run(connection, TABLE, "stamp", 0.0)
        ledger.end_run(connection, TABLE, run, "it broke")

    assert empty_database.execute("SELECT result, error FROM migration_gate_run") == [("failed", "it broke")]


def test_the_tables_belong_to_the_migrator_and_the_application_may_not_drop_them(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))

    with psycopg.connect(empty_database.app_url) as application:
        assert application.execute("SELECT count(*) FROM migration_gate_revision").fetchone() == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("DROP TABLE migration_gate_revision")


def test_a_merge_is_one_row_with_both_parents(project: Project, empty_database: Database) -> None:
    project.sql("left", TITLE_INDEX, "SELECT 1")
    project.sql("right", TITLE_INDEX, "SELECT 1")
    project.sql("merge", ("left", "right"), "SELECT 1")

    succeed(project.alembic("upgrade", "heads"))

    rows = empty_database.execute("SELECT parents FROM migration_gate_revision WHERE revision = 'merge'")
    assert rows == [(["left", "right"],)]
    assert len(applied(empty_database)) == 6


def test_a_row_goes_with_the_transaction_of_its_revision(project: Project, empty_database: Database) -> None:
    """PostgreSQL stamps each row with the transaction that wrote it."""
    succeed(project.alembic("upgrade", BOOK))

    revisions = empty_database.execute("SELECT xmin::text FROM migration_gate_revision ORDER BY id")
    creation = empty_database.execute(
        "SELECT xmin::text FROM pg_class WHERE oid IN ('shelf'::regclass, 'book'::regclass) ORDER BY oid"
    )
    assert revisions == creation
    assert len(set(revisions)) == 2


def test_the_checksum_in_the_ledger_is_that_of_the_file(project: Project, empty_database: Database) -> None:
    succeed(project.gate("lock"))
    succeed(project.alembic("upgrade", SHELF))

    ((checksum,),) = empty_database.execute("SELECT checksum FROM migration_gate_revision")
    assert f'checksum = "{checksum}"' in project.lock.read_text()


def test_a_migrators_name_fits_postgresqls_limit() -> None:
    assert ledger.migrator_name().startswith("migration-gate ")
    assert len(ledger.migrator_name().encode()) <= 63


@pytest.mark.parametrize("first", ["SET LOCAL lock_timeout = '1s'", "SELECT 1"])
def test_a_text_that_begins_with_a_setting_or_a_reading_has_the_phase_of_what_follows(
    project: Project, empty_database: Database, first: str
) -> None:
    project.sql("cafe", TITLE_INDEX, f"{first}; ALTER TABLE book DROP COLUMN title")
    project.alembic("upgrade", "head")

    phases = empty_database.execute("SELECT phase FROM migration_gate_revision WHERE revision = 'cafe'")
    assert phases == [("contract",)]
