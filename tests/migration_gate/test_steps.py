"""Revisions that are not one transaction: what they leave when they are cut off, and how they go on."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.databases import Database
from tests.migration_gate.scratch import BOOK, SHELF, Project, runs, sessions, succeed, until, versions

TWO_INDEXES = """\
op.execute("CREATE TABLE loan (id bigserial, book bigint, reader text)")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY loan_book ON loan (book)")
    op.execute("CREATE INDEX CONCURRENTLY loan_reader ON loan (reader)")
op.execute("ALTER TABLE loan ADD COLUMN returned date")
"""
BUILDING = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"


@pytest.fixture
def library(bare_project: Project, empty_database: Database) -> Project:
    """A project at a revision with two tables and rows."""
    bare_project.sql(SHELF, None, "CREATE TABLE shelf (id bigserial, label text)", "DROP TABLE shelf")
    bare_project.sql(BOOK, SHELF, "CREATE TABLE book (id bigserial, title text)", "DROP TABLE book")
    succeed(bare_project.alembic("upgrade", "head"))
    empty_database.execute("INSERT INTO book (title) SELECT 'Emma' FROM generate_series(1, 3)")
    return bare_project


def _steps(database: Database) -> list[tuple[object, ...]]:
    return database.execute("SELECT number, ended_at IS NOT NULL, error, settled FROM migration_gate_step ORDER BY id")


def _verdict(project: Project) -> dict[str, object]:
    document: dict[str, object] = json.loads(project.gate("status", "--json").stdout)
    return document


def _found(project: Project) -> set[str]:
    findings = _verdict(project)["findings"]
    assert isinstance(findings, list)
    return {finding["state"] for finding in findings}


def test_a_revision_that_goes_through_leaves_its_steps_settled(library: Project, empty_database: Database) -> None:
    library.revision("0abc", BOOK, TWO_INDEXES)

    succeed(library.alembic("upgrade", "head"))

    # The table before the block was committed with it; the column after it belongs to the last transaction.
    assert _steps(empty_database) == [(number, True, None, True) for number in (1, 2, 3)]
    assert library.gate("status").returncode == 0


def test_a_revision_of_one_transaction_leaves_no_steps(library: Project, empty_database: Database) -> None:
    assert _steps(empty_database) == []


def test_a_failed_build_is_named_cleared_away_and_built_anew(library: Project, empty_database: Database) -> None:
    library.revision(
        "0abc",
        BOOK,
        'op.execute("CREATE TABLE loan (id int)")\nwith op.get_context().autocommit_block():\n'
        '    op.execute("CREATE UNIQUE INDEX CONCURRENTLY book_title ON book (title)")',
    )

    failed = library.alembic("upgrade", "head")

    assert failed.returncode != 0
    assert "SQLSTATE 23505" in failed.stdout + failed.stderr
    assert _steps(empty_database) == [(1, True, None, False), (2, True, "23505", False)]
    assert _found(library) == {"behind", "incomplete"}
    invalid = empty_database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'book_title'::regclass")
    assert invalid == [(False,)]

    empty_database.execute("DELETE FROM book WHERE id > 1")
    succeed(library.gate("upgrade"))

    valid = empty_database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'book_title'::regclass")
    assert valid == [(True,)]
    assert versions(empty_database) == ["0abc"]
    assert library.gate("status").returncode == 0


@pytest.mark.parametrize("how", ["the client is killed", "its session is ended"])
def test_a_build_that_is_cut_off_is_gone_on_with(library: Project, empty_database: Database, how: str) -> None:
    library.revision("0abc", BOOK, TWO_INDEXES)

    with psycopg.connect(empty_database.migrator_url) as older:
        # Whoever builds an index concurrently waits for transactions that wrote to its table, or hold a snapshot.
        older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM book")
        with library.running("alembic", "upgrade", "head") as migrating:
            until(lambda: sessions(empty_database, BUILDING))
            if how == "the client is killed":
                migrating.kill()
            else:
                empty_database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {BUILDING}")
            assert migrating.wait(timeout=20) != 0
        until(lambda: not sessions(empty_database, BUILDING))
        assert _found(library) == {"behind", "incomplete"}

    succeed(library.gate("upgrade"))

    assert versions(empty_database) == ["0abc"]
    indexes = empty_database.execute(
        "SELECT c.relname::text, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = 'loan'::regclass ORDER BY 1"
    )
    assert indexes == [("loan_book", True), ("loan_reader", True)]
    assert [result for _, result in runs(empty_database)] == ["succeeded", "failed", "succeeded"]
    assert library.gate("status").returncode == 0


BACKFILL = """\
with op.get_context().autocommit_block():
    op.execute("UPDATE book SET title = title || '!'")
    op.execute("CREATE INDEX CONCURRENTLY book_title ON no_such_table (title)")
"""


def test_data_that_was_changed_is_never_changed_twice(library: Project, empty_database: Database) -> None:
    path = library.revision("0abc", BOOK, BACKFILL)
    assert library.alembic("upgrade", "head").returncode != 0
    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Emma!",)]
    path.write_text(path.read_text().replace("no_such_table", "book"))

    refused = library.gate("upgrade")

    assert refused.returncode == 3
    assert "running it again would change data twice" in refused.stderr
    assert "gate_rerunnable = True" in refused.stderr
    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Emma!",)]

    # Somebody undoes it by hand, and says so.
    empty_database.execute("UPDATE book SET title = 'Emma'")
    succeed(library.gate("ledger", "settle", "--reason", "undone by hand"))
    succeed(library.gate("upgrade"))
    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Emma!",)]


def test_a_rerunnable_revision_begins_anew(library: Project, empty_database: Database) -> None:
    path = library.revision("0abc", BOOK, BACKFILL, more="gate_rerunnable = True")
    assert library.alembic("upgrade", "head").returncode != 0
    path.write_text(path.read_text().replace("no_such_table", "book"))

    succeed(library.gate("upgrade"))

    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Emma!!",)]
    assert library.gate("status").returncode == 0


def test_a_file_that_says_something_else_than_before_is_not_gone_on_with(library: Project) -> None:
    library.revision("0abc", BOOK, TWO_INDEXES + 'op.execute("SELECT no_such_column")')
    # The block is done, and what follows it fails.
    assert library.alembic("upgrade", "head").returncode != 0
    library.revision("0abc", BOOK, TWO_INDEXES.replace("loan_book ON loan (book)", "loan_book ON loan (id)"))

    refused = library.gate("upgrade")

    assert refused.returncode == 3
    assert "the file has another statement in its place now" in refused.stderr


def test_a_statement_alone_and_the_word_that_it_ended_are_there_together(
    library: Project, empty_database: Database
) -> None:
    library.revision(
        "0abc",
        BOOK,
        "with op.get_context().autocommit_block():\n    op.execute(\"UPDATE book SET title = 'Persuasion'\")\n"
        '    op.execute("SELECT pg_sleep(60)")\n    op.execute("SELECT 1/0")',
        more="gate_rerunnable = False",
    )

    with library.running("alembic", "upgrade", "head") as migrating:
        until(lambda: sessions(empty_database, "query LIKE 'SELECT pg_sleep%' AND state = 'active'"))
        migrating.kill()

    assert _steps(empty_database) == [(1, True, None, False)]
    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Persuasion",)]


def test_an_ordinary_statement_that_was_cut_off_is_run_again(library: Project, empty_database: Database) -> None:
    library.sql("cafe", BOOK, "CREATE TABLE pause AS SELECT 60 AS s")
    succeed(library.alembic("upgrade", "head"))
    change = "UPDATE book SET title = title || '!' FROM pause WHERE pg_sleep(s)::text IS NOT NULL"
    library.revision("0abc", "cafe", f'with op.get_context().autocommit_block():\n    op.execute("{change}")')

    with library.running("alembic", "upgrade", "head") as migrating:
        until(lambda: sessions(empty_database, "query LIKE 'UPDATE book%' AND state = 'active'"))
        migrating.kill()
    until(lambda: not sessions(empty_database, "query LIKE 'UPDATE book%' AND state = 'active'"))
    empty_database.execute("UPDATE pause SET s = 0")

    succeed(library.alembic("upgrade", "head"))

    assert empty_database.execute("SELECT DISTINCT title FROM book") == [("Emma!",)]


@pytest.mark.parametrize("after", ['op.execute("COMMIT")', 'op.execute("SELECT 1; COMMIT")'])
def test_what_a_commit_in_sql_leaves_behind_is_named_and_gone_on_with(
    library: Project, empty_database: Database, after: str
) -> None:
    body = 'op.execute("CREATE TABLE loan (id int)")\n{}\nop.execute("{}")\n'
    library.revision("0abc", BOOK, body.format(after, "SELECT no_such_column"))
    assert library.alembic("upgrade", "head").returncode != 0

    assert "incomplete" in _found(library)

    library.revision("0abc", BOOK, body.format(after, "ALTER TABLE loan ADD COLUMN reader text"))
    succeed(library.alembic("upgrade", "head"))
    assert empty_database.execute("SELECT id, reader FROM loan") == []
    assert library.gate("status").returncode == 0


def test_a_text_that_goes_on_after_its_commit_is_not_run_again(library: Project, empty_database: Database) -> None:
    library.revision("0abc", BOOK, 'op.execute("CREATE TABLE loan (id int); COMMIT; SELECT no_such_column")')
    assert library.alembic("upgrade", "head").returncode != 0

    assert "incomplete" in _found(library)

    refused = library.alembic("upgrade", "head")
    assert "stopped halfway, and cannot be gone on with" in refused.stdout + refused.stderr


def test_lock_waits_stay_bounded_after_a_commit_in_sql(library: Project, empty_database: Database) -> None:
    library.revision(
        "0abc",
        BOOK,
        'op.execute("COMMIT")\n'
        'bound = op.get_bind().exec_driver_sql("SHOW lock_timeout").scalar()\n'
        'op.execute(f"CREATE TABLE bound_{bound} (id int)")\n',
    )
    succeed(library.alembic("upgrade", "head"))

    assert empty_database.execute("SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'bound%'") == [
        ("bound_3s",)
    ]
