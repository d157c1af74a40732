"""The revisions, the model and the statements: three descriptions of one table that must agree."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from taskmanager.settings import PROJECT_ROOT
from taskmanager.tasks import statements
from taskmanager.tasks.statements import STATEMENTS
from tests.databases import Database
from tests.processes import run_alembic

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
KEPT = [("alembic_version",), ("migration_gate_revision",), ("migration_gate_run",)]

# Everything of the table that two ways of reaching a revision could leave different.
SHAPE = """
SELECT 'column', attname, format_type(atttypid, atttypmod), attnotnull::text, pg_get_expr(adbin, adrelid)
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = to_regclass('tasks') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid), convalidated::text, NULL
FROM pg_constraint WHERE conrelid = to_regclass('tasks')
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text, NULL
FROM pg_index WHERE indrelid = to_regclass('tasks')
ORDER BY 1, 2
"""


def revisions() -> list[str]:
    """From the first to the last."""
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def alembic(database: Database, *arguments: str) -> str:
    return run_alembic(*arguments, env={"MIGRATION_DATABASE_URL": database.migrator_url}).stdout


def test_the_model_is_what_the_revisions_make(migrated_database: Database) -> None:
    assert "No new upgrade operations detected" in alembic(migrated_database, "check")


def test_a_model_that_differs_would_be_noticed(migrated_database: Database) -> None:
    migrated_database.execute("ALTER TABLE tasks ADD COLUMN colour text")
    migrated_database.execute("DROP INDEX tasks_newest_idx")
    migrated_database.execute("ALTER TABLE tasks ALTER COLUMN description DROP NOT NULL")

    with pytest.raises(AssertionError, match="New upgrade operations detected") as raised:
        alembic(migrated_database, "check")
    for difference in ("colour", "tasks_newest_idx", "description"):
        assert difference in str(raised.value)


def test_every_table_goes_with_its_revision_and_comes_back(migrated_database: Database) -> None:
    shape = migrated_database.execute(SHAPE)

    alembic(migrated_database, "downgrade", "base")
    assert migrated_database.execute(TABLES) == KEPT
    alembic(migrated_database, "upgrade", "head")

    assert migrated_database.execute(SHAPE) == shape
    assert migrated_database.execute(TABLES) == [*KEPT, ("tasks",)]


def test_each_revision_goes_up_and_down_and_up_again(empty_database: Database) -> None:
    shapes: list[list[tuple[object, ...]]] = [[]]
    for revision in revisions():
        alembic(empty_database, "upgrade", revision)
        shape = empty_database.execute(SHAPE)
        alembic(empty_database, "downgrade", "-1")
        assert names(empty_database.execute(SHAPE)) == names(shapes[-1]), revision
        alembic(empty_database, "upgrade", revision)
        assert empty_database.execute(SHAPE) == shape, revision
        shapes.append(shape)


def names(shape: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Without what is valid: a constraint that was validated stays so on the way down."""
    return [
        (kind, name, str(definition).removesuffix(" NOT VALID"), *([] if kind == "constraint" else rest))
        for kind, name, definition, *rest in shape
    ]


def test_a_live_table_is_neither_rewritten_nor_left_with_anything_invalid(empty_database: Database) -> None:
    first, *later = revisions()
    alembic(empty_database, "upgrade", first)
    empty_database.execute("INSERT INTO tasks (title) SELECT 'row ' || n FROM generate_series(1, 1000) AS n")
    file = "SELECT relfilenode FROM pg_class WHERE oid = 'tasks'::regclass"
    before = empty_database.execute(file)

    for revision in later:
        alembic(empty_database, "upgrade", revision)
        assert empty_database.execute(file) == before, revision

    assert empty_database.execute("SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert empty_database.execute("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []
    assert empty_database.execute(
        "SELECT status, completed_at, priority, due_at, count(*) FROM tasks GROUP BY 1, 2, 3, 4"
    ) == [("todo", None, 2, None, 1000)]


def test_the_release_before_goes_on_writing_after_each_revision(empty_database: Database) -> None:
    first, *later = revisions()
    alembic(empty_database, "upgrade", first)
    for revision in later:
        alembic(empty_database, "upgrade", revision)
        with psycopg.connect(empty_database.app_url, autocommit=True) as old:
            old.execute("INSERT INTO tasks (title, description) VALUES ('t', 'd')")
            old.execute("UPDATE tasks SET title = 'changed', version = version + 1, updated_at = now()")


def test_an_index_that_a_failed_build_left_behind_is_built_anew(migrated_database: Database) -> None:
    alembic(migrated_database, "downgrade", "-1")
    migrated_database.execute("INSERT INTO tasks (title) VALUES ('one'), ('two')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        # A unique build over equal values fails as any build can, and leaves its invalid index.
        migrated_database.execute("CREATE UNIQUE INDEX CONCURRENTLY tasks_open_due_idx ON tasks (priority)")
    assert migrated_database.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == [(1,)]

    alembic(migrated_database, "upgrade", "head")

    assert migrated_database.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    assert "No new upgrade operations detected" in alembic(migrated_database, "check")


async def test_every_statement_runs_as_the_applications_role(tasks_database: Database) -> None:
    connection = await asyncpg.connect(tasks_database.app_url)
    try:
        created = await connection.fetchrow(statements.CREATE_TASK, "t", "d", "done", 3, None)
        assert created is not None
        number = created["id"]
        arguments: dict[str, tuple[object, ...]] = {
            "list_tasks": (10,),
            "get_task": (number,),
            "create_task": ("t", "d", "todo", 1, None),
            "replace_task": (number, "t", "d", "todo", 2, None),
            "delete_task": (number,),
        }
        assert arguments.keys() == STATEMENTS.keys()
        for name, sql in STATEMENTS.items():
            assert await connection.fetchrow(sql, *arguments[name]) is not None, name
    finally:
        await connection.close()


def test_every_statement_of_the_module_is_proven_by_the_gate() -> None:
    written = {
        name.lower(): value
        for name, value in vars(statements).items()
        if isinstance(value, str)
        and re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", value)
        and not name.startswith("_")
    }

    assert written == dict(STATEMENTS)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE tasks ADD COLUMN mine int",
        "DROP TABLE tasks",
        "TRUNCATE tasks",
        "CREATE INDEX mine ON tasks (title)",
        "CREATE SCHEMA mine",
        "UPDATE alembic_version SET version_num = 'mine'",
        "DELETE FROM migration_gate_run",
        "DELETE FROM migration_gate_revision",
    ],
)
def test_the_applications_role_changes_no_table(migrated_database: Database, sql: str) -> None:
    with (
        psycopg.connect(migrated_database.app_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(sql)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"title": "''"}, "tasks_title_length_check"),
        ({"title": "repeat('x', 201)"}, "tasks_title_length_check"),
        ({"description": "repeat('x', 10001)"}, "tasks_description_length_check"),
        ({"status": "'cancelled'"}, "tasks_status_check"),
        ({"status": "'done'"}, "tasks_completed_at_check"),
        ({"completed_at": "now()"}, "tasks_completed_at_check"),
        ({"priority": "0"}, "tasks_priority_check"),
        ({"priority": "4"}, "tasks_priority_check"),
    ],
)
def test_the_table_itself_refuses_what_no_task_may_be(
    tasks_database: Database, values: dict[str, str], constraint: str
) -> None:
    row = {"title": "'t'"} | values
    with (
        psycopg.connect(tasks_database.app_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match=constraint),
    ):
        connection.execute(f"INSERT INTO tasks ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def test_the_list_is_read_from_its_index(tasks_database: Database) -> None:
    tasks_database.execute("INSERT INTO tasks (title) SELECT 't' FROM generate_series(1, 10)")
    with psycopg.connect(tasks_database.app_url) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        sql = statements.LIST_TASKS.replace("$1::int", "50")
        plan = "\n".join(str(line) for (line,) in connection.execute("EXPLAIN " + sql).fetchall())

    assert "tasks_newest_idx" in plan
    # The index gives the order; a sort would read the whole table for a page of it.
    assert "Sort" not in plan


def test_the_lock_file_is_up_to_date() -> None:
    lock = Path(PROJECT_ROOT / "alembic" / "revisions.lock").read_text()

    assert f'heads = ["{revisions()[-1]}"]' in lock
