"""What is read from a real database, through each driver that reads it."""

from __future__ import annotations

import json

import psycopg
import pytest

from migration_gate.observe import observation
from migration_gate.observed import BrokenStatement
from migration_gate.statement_proof import proof
from migration_gate.states import State
from migration_gate.status import judge
from migration_gate.tables import LEDGER_TABLES, VersionTable, literal, quote
from tests.databases import Database
from tests.migration_gate.readers import Read, through_asyncpg, through_psycopg
from tests.migration_gate.scratch import BOOK, HISTORY, SHELF, TITLE_INDEX, Project, succeed, tables
from tests.migration_gate.verdict_cases import LINE

both_drivers = pytest.mark.parametrize("read", [through_asyncpg, through_psycopg], ids=["asyncpg", "psycopg"])

STATEMENTS = {
    "list_books": "SELECT id, title FROM book ORDER BY id LIMIT $1::int",
    "add_book": "INSERT INTO book (title) VALUES ($1::text) RETURNING id",
    "rename_book": "UPDATE book SET title = $2::text WHERE id = $1::bigint",
    "drop_book": "DELETE FROM book WHERE id = $1::bigint",
    "count_shelves": "SELECT count(*) FROM shelf",
}


@pytest.fixture
def library(project: Project, empty_database: Database) -> Database:
    """The scratch project's database, at its head."""
    succeed(project.alembic("upgrade", "head"))
    return empty_database


@both_drivers
async def test_an_empty_database_is_seen_as_empty(empty_database: Database, read: Read) -> None:
    observed = await read(empty_database.app_url, None, {})

    assert (observed.database, observed.role) == (empty_database.name, "taskmanager_app")
    assert not observed.has_version_table
    assert not observed.has_other_tables
    assert observed.revisions == ()
    assert observed.lineage == {}
    assert observed.last_run is None
    assert judge(LINE, observed).state is State.NEVER_MIGRATED


@both_drivers
async def test_a_migrated_database_is_seen_with_its_lineage_and_last_run(library: Database, read: Read) -> None:
    observed = await read(library.app_url, None, STATEMENTS)

    assert observed.has_version_table
    assert observed.version_table_readable
    assert observed.has_other_tables
    assert observed.revisions == (TITLE_INDEX,)
    assert observed.lineage == {SHELF: (), BOOK: (SHELF,), TITLE_INDEX: (BOOK,)}
    assert observed.last_run is not None
    assert (observed.last_run.command, observed.last_run.result) == ("upgrade", "succeeded")
    assert observed.last_run.started_at
    assert observed.broken_statements == ()
    assert judge(LINE, observed).state is State.CURRENT


@both_drivers
async def test_tables_without_a_version_table_are_seen(empty_database: Database, read: Read) -> None:
    empty_database.execute("CREATE TABLE by_hand (id int)")

    observed = await read(empty_database.app_url, None, {})

    assert observed.has_other_tables
    assert judge(LINE, observed).state is State.UNVERSIONED


@both_drivers
async def test_tables_of_another_schema_and_of_an_extension_are_not_ours(empty_database: Database, read: Read) -> None:
    empty_database.execute("CREATE SCHEMA elsewhere CREATE TABLE theirs (id int)")
    empty_database.execute("CREATE TABLE extended (id int)")
    empty_database.execute("CREATE VIEW seen AS SELECT 1 AS one")
    with psycopg.connect(empty_database.admin_url) as admin:
        admin.execute("ALTER EXTENSION plpgsql ADD TABLE extended")

    observed = await read(empty_database.app_url, None, {})

    assert not observed.has_other_tables


@both_drivers
async def test_a_ledger_whose_revisions_went_up_and_down_gives_each_edge_once(
    project: Project, library: Database, read: Read
) -> None:
    succeed(project.alembic("downgrade", SHELF))
    succeed(project.alembic("upgrade", "head"))

    observed = await read(library.app_url, None, {})

    assert observed.lineage == {SHELF: (), BOOK: (SHELF,), TITLE_INDEX: (BOOK,)}


@both_drivers
async def test_a_release_that_never_heard_of_a_revision_places_it_by_the_ledger(
    project: Project, library: Database, read: Read
) -> None:
    project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")
    project.sql("0000", "1111", "ALTER TABLE book ADD COLUMN pages int")
    succeed(project.alembic("upgrade", "head"))

    observed = await read(library.app_url, None, STATEMENTS)

    assert judge(LINE, observed).state is State.AHEAD_COMPATIBLE
    assert judge(LINE, observed).unknown == ("0000",)


@both_drivers
async def test_a_version_table_that_may_not_be_read_is_missing_privileges(library: Database, read: Read) -> None:
    library.execute("REVOKE ALL ON alembic_version FROM taskmanager_app")

    observed = await read(library.app_url, None, STATEMENTS)

    assert observed.has_version_table
    assert not observed.version_table_readable
    assert judge(LINE, observed).state is State.PRIVILEGES_MISSING


@both_drivers
async def test_a_version_table_in_a_schema_that_may_not_be_used_is_missing_privileges(
    empty_database: Database, read: Read
) -> None:
    empty_database.execute("CREATE SCHEMA books CREATE TABLE alembic_version (version_num varchar(32))")

    observed = await read(empty_database.app_url, VersionTable(schema="books"), {})

    assert judge(LINE, observed).state is State.PRIVILEGES_MISSING


@both_drivers
@pytest.mark.parametrize("table", ["migration_gate_revision", "migration_gate_run"])
async def test_a_ledger_that_may_not_be_read_is_done_without(library: Database, read: Read, table: str) -> None:
    library.execute(f"REVOKE ALL ON {table} FROM taskmanager_app")

    observed = await read(library.app_url, None, STATEMENTS)

    assert observed.lineage == {}
    assert judge(LINE, observed).state is State.CURRENT


@both_drivers
async def test_a_table_without_a_grant_breaks_each_statement_that_needs_it(library: Database, read: Read) -> None:
    library.execute("REVOKE ALL ON book FROM taskmanager_app")

    broken = (await read(library.app_url, None, STATEMENTS)).broken_statements

    assert broken == tuple(
        BrokenStatement(name, "42501", "permission denied for table book")
        for name in ("list_books", "add_book", "rename_book", "drop_book")
    )


@both_drivers
async def test_a_dropped_column_breaks_the_statements_that_name_it(library: Database, read: Read) -> None:
    library.execute("ALTER TABLE book DROP COLUMN title")

    observed = await read(library.app_url, None, STATEMENTS)

    assert {(each.name, each.sqlstate) for each in observed.broken_statements} == {
        ("list_books", "42703"),
        ("add_book", "42703"),
        ("rename_book", "42703"),
    }
    assert judge(LINE, observed).state is State.STATEMENT_BROKEN


@both_drivers
@pytest.mark.parametrize(
    ("damage", "sqlstate"),
    [
        ("DROP TABLE shelf", "42P01"),
        ("ALTER TABLE shelf RENAME TO rack", "42P01"),
        ("ALTER TABLE shelf SET SCHEMA elsewhere", "42P01"),
    ],
)
async def test_a_table_that_is_gone_breaks_its_statement(
    library: Database, read: Read, damage: str, sqlstate: str
) -> None:
    library.execute("CREATE SCHEMA elsewhere")
    library.execute(damage)

    broken = (await read(library.app_url, None, STATEMENTS)).broken_statements

    assert [(each.name, each.sqlstate) for each in broken] == [("count_shelves", sqlstate)]


@both_drivers
async def test_a_schema_that_is_gone_breaks_its_statement(library: Database, read: Read) -> None:
    broken = (await read(library.app_url, None, {"far": "SELECT * FROM nowhere.book"})).broken_statements

    assert [(each.name, each.sqlstate[:2]) for each in broken] == [("far", "42")]


@both_drivers
async def test_observing_writes_nothing_and_runs_no_statement(library: Database, read: Read) -> None:
    library.execute("INSERT INTO book (title) VALUES ('Emma')")
    before = library.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables")

    await read(library.migrator_url, None, STATEMENTS)

    assert library.execute("SELECT id, title FROM book") == [(1, "Emma")]
    assert library.execute("SELECT last_value FROM book_id_seq") == [(1,)]
    assert library.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables") == before
    assert tables(library) == {"alembic_version", "shelf", "book"} | LEDGER_TABLES


@both_drivers
async def test_a_version_table_with_an_odd_name_is_read(empty_database: Database, read: Read) -> None:
    table = VersionTable('the "edition"', schema="Mary's books")
    empty_database.execute('CREATE SCHEMA "Mary\'s books"')
    empty_database.execute(f"CREATE TABLE {table.qualified} (version_num varchar(32))")
    empty_database.execute(f"INSERT INTO {table.qualified} VALUES ('f00d')")

    observed = await read(empty_database.migrator_url, table, {})

    assert observed.revisions == ("f00d",)
    assert not observed.has_other_tables
    assert judge(LINE, observed).missing == HISTORY[1:]


def test_names_and_texts_are_quoted() -> None:
    assert quote('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"


@pytest.mark.parametrize("steps", range(1, 6))
def test_a_proof_that_is_left_in_the_middle_ends_without_a_word(steps: int) -> None:
    proving = proof({"get_book": "SELECT title FROM book", "get_shelf": "SELECT label FROM shelf"})
    next(proving)
    for _ in range(steps):
        proving.send([(0,)])

    proving.close()


def test_a_run_that_ends_between_two_reads_is_not_seen_as_forgotten_revisions(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", BOOK))
    reading = observation()
    with psycopg.connect(empty_database.app_url, autocommit=True) as session:
        sql = next(reading)
        migrated = False
        while True:
            rows = session.execute(sql).fetchall()
            if sql.startswith("SELECT version_num") and not migrated:
                # The revisions are read, the ledger is not yet.
                migrated = True
                succeed(project.alembic("upgrade", "head"))
            try:
                sql = reading.send(rows)
            except StopIteration as end:
                observed = end.value
                break

    assert migrated
    assert observed.revisions == (TITLE_INDEX,)
    assert judge(LINE, observed).state is State.CURRENT


@pytest.mark.parametrize(("looks_running", "result"), [(1, "succeeded"), (2, "abandoned")])
def test_a_run_that_ends_between_the_ledger_and_its_lock_is_not_seen_as_abandoned(
    project: Project, empty_database: Database, looks_running: int, result: str
) -> None:
    succeed(project.alembic("upgrade", "head"))
    reading = observation()
    with psycopg.connect(empty_database.app_url, autocommit=True) as session:
        sql = next(reading)
        looks = 0
        while True:
            rows = session.execute(sql).fetchall()
            if "pg_locks" in sql:
                looks += 1
                if looks <= looks_running:
                    # What a statement sees that has taken its snapshot before the end, and looks at the locks after it.
                    rows = [tuple(_as_running(value) for value in row) for row in rows]
            try:
                sql = reading.send(rows)
            except StopIteration as end:
                observed = end.value
                break

    assert observed.last_run.result == result


def _as_running(value: object) -> object:
    """The run of a ledger's row as it was before its end; any other value as it is."""
    if isinstance(value, str) and '"started_by"' in value:
        return json.dumps(json.loads(value) | {"result": "running", "ended_at": None})
    return value
