"""The revisions, the model and the statements: three descriptions of the same tables that must agree."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from migration_gate.tables import LEDGER_TABLES
from taskmanager.batching import BatchStatement
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.tasks import list_statements, statements
from taskmanager.tasks.cursor import FOREVER
from taskmanager.tasks.list_statements import LIST_STATEMENTS, ListStatement
from taskmanager.tasks.listing import BEGINNING
from taskmanager.tasks.representation import TASK
from taskmanager.tasks.schemas import LARGEST_ID
from taskmanager.tasks.statements import STATEMENTS
from tests.databases import Database
from tests.processes import run_alembic

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
KEPT = [(name,) for name in sorted({"alembic_version"} | LEDGER_TABLES)]

OURS = "ARRAY['tasks', 'idempotency_keys']"

# Everything of the tables that two ways of reaching a revision could leave different.
SHAPE = f"""
WITH ours AS (SELECT to_regclass(name)::oid AS oid, name FROM unnest({OURS}) AS name)
SELECT 'column', name, attname, format_type(atttypid, atttypmod), attnotnull::text, pg_get_expr(adbin, adrelid)
FROM ours JOIN pg_attribute ON attrelid = oid
     LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', name, conname, pg_get_constraintdef(pg_constraint.oid), convalidated::text, NULL
FROM ours JOIN pg_constraint ON conrelid = ours.oid
UNION ALL
SELECT 'index', name, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text, NULL
FROM ours JOIN pg_index ON indrelid = oid
ORDER BY 1, 2, 3
"""


def revisions() -> list[str]:
    """From the first to the last."""
    scripts = ScriptDirectory.from_config(Config(PROJECT_FOLDER / "alembic.ini"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def alembic(database: Database, *arguments: str) -> str:
    return run_alembic(*arguments, env={"MIGRATION_DATABASE_URL": database.migrator_url}).stdout


def test_the_model_is_what_the_revisions_make(migrated_database: Database) -> None:
    assert "No new upgrade operations detected" in alembic(migrated_database, "check")


def test_a_model_that_differs_would_be_noticed(migrated_database: Database) -> None:
    migrated_database.execute("ALTER TABLE tasks ADD COLUMN colour text")
    migrated_database.execute("DROP INDEX tasks_newest_idx")
    migrated_database.execute("ALTER TABLE tasks ALTER COLUMN description DROP NOT NULL")
    migrated_database.execute("DROP INDEX tasks_words_idx")
    migrated_database.execute("CREATE INDEX tasks_words_idx ON tasks USING gin (to_tsvector('simple', title))")

    with pytest.raises(AssertionError, match="New upgrade operations detected") as raised:
        alembic(migrated_database, "check")
    for difference in ("colour", "tasks_newest_idx", "description", "tasks_words_idx"):
        assert difference in str(raised.value)


def test_every_table_goes_with_its_revision_and_comes_back(migrated_database: Database) -> None:
    shape = migrated_database.execute(SHAPE)

    alembic(migrated_database, "downgrade", "base")
    assert migrated_database.execute(TABLES) == KEPT
    alembic(migrated_database, "upgrade", "head")

    assert migrated_database.execute(SHAPE) == shape
    assert migrated_database.execute(TABLES) == sorted([*KEPT, ("idempotency_keys",), ("tasks",)])


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
        (kind, table, name, str(definition).removesuffix(" NOT VALID"), *([] if kind == "constraint" else rest))
        for kind, table, name, definition, *rest in shape
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
        "SELECT status, completed_at, priority, due_at, tags, count(*) FROM tasks GROUP BY 1, 2, 3, 4, 5"
    ) == [("todo", None, 2, None, [], 1000)]


def test_the_release_before_goes_on_writing_after_each_revision(empty_database: Database) -> None:
    first, *later = revisions()
    alembic(empty_database, "upgrade", first)
    for revision in later:
        alembic(empty_database, "upgrade", revision)
        with psycopg.connect(empty_database.app_url, autocommit=True) as old:
            old.execute("INSERT INTO tasks (title, description) VALUES ('t', 'd')")
            old.execute("UPDATE tasks SET title = 'changed', version = version + 1, updated_at = now()")


@pytest.mark.parametrize(
    ("index", "before"),
    [
        ("tasks_updated_idx", "9be30f74d218"),
        ("tasks_status_priority_newest_idx", "75f0a6c3d182"),
        ("tasks_status_due_idx", "75f0a6c3d182"),
        ("tasks_words_idx", "3a5c8f17e2d4"),
        ("tasks_tags_idx", "3a5c8f17e2d4"),
    ],
)
def test_an_index_that_a_failed_build_left_behind_is_built_anew(
    migrated_database: Database, index: str, before: str
) -> None:
    alembic(migrated_database, "downgrade", before)
    assert migrated_database.execute("SELECT to_regclass(%s)::text", index) == [(None,)]
    migrated_database.execute("INSERT INTO tasks (title) VALUES ('one'), ('two')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        # A unique build over equal values fails as any build can, and leaves its invalid index.
        migrated_database.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON tasks (priority)")
    assert migrated_database.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == [(1,)]

    alembic(migrated_database, "upgrade", "head")

    assert migrated_database.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    assert "No new upgrade operations detected" in alembic(migrated_database, "check")


async def test_every_statement_runs_as_the_applications_role(tasks_database: Database) -> None:
    connection = await asyncpg.connect(tasks_database.app_url)
    content: statements.Columns = ("t", "d", "todo", 1, None, ["x"])
    try:
        done = statements.CREATE_TASK.arguments([("t", "d", "done", 3, None, [])])
        created = await connection.fetchrow(statements.CREATE_TASK.sql, *done)
        assert created is not None
        number = created["id"]
        arguments: dict[str, tuple[object, ...]] = {
            "get_task": ([number],),
            "create_task": statements.CREATE_TASK.arguments([content]),
            "create_task_once": (*content, "key", b"hash"),
            "remembered_task": ("key", b"hash"),
            "forget_expired_key": ("key",),
            "replace_task": (number, None, *content),
            "patch_task": (number, [2], "t", None, None, None, True, None, None),
            "task_is_there": (number,),
            "delete_task": (number, None),
        }
        for name, statement in LIST_STATEMENTS.items():
            arguments[name] = tuple(list_arguments()[parameter] for parameter in statement.parameters)
        assert arguments.keys() == STATEMENTS.keys()
        for name, values in arguments.items():
            row = await connection.fetchrow(STATEMENTS[name], *values)
            # The key is of this minute.
            assert (row is not None) == (name != "forget_expired_key"), name
    finally:
        await connection.close()


def list_arguments() -> dict[str, object]:
    return {
        "rows": 51,
        "after_priority": 4,
        "after_time": FOREVER,
        "after_id": LARGEST_ID,
        "status": "todo",
        "priority": 1,
        "least_priority": 1,
        "due_from": BEGINNING,
        "due_until": FOREVER,
        "updated_since": BEGINNING,
        "words": "t",
        "tag": "x",
    }


def test_every_statement_of_the_modules_is_proven_by_the_gate() -> None:
    texts = {
        name: value.sql if isinstance(value, BatchStatement) else value for name, value in vars(statements).items()
    }
    written = {
        name.lower(): value
        for name, value in texts.items()
        if isinstance(value, str)
        and re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", value)
        and not name.startswith("_")
        and value is not TASK
    }
    lists = {value for value in vars(list_statements).values() if isinstance(value, ListStatement)}

    assert lists | {*list_statements.SEARCHES.values()} == {*LIST_STATEMENTS.values()}
    assert written | {name: statement.sql for name, statement in LIST_STATEMENTS.items()} == dict(STATEMENTS)


@pytest.mark.parametrize("role", ["app", "migrator"])
def test_who_serves_may_remember_and_forget_keys(migrated_database: Database, role: str) -> None:
    """The application's role by default privileges, and where there is but one role, the owner."""
    url = {"app": migrated_database.app_url, "migrator": migrated_database.migrator_url}[role]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO idempotency_keys (key, request_hash, task_id) VALUES ('k', '', 1)")
        assert connection.execute("SELECT task_id FROM idempotency_keys").fetchall() == [(1,)]
        connection.execute("DELETE FROM idempotency_keys")
        for key in ("''", "repeat('k', 256)"):
            with pytest.raises(psycopg.errors.CheckViolation, match="idempotency_keys_key_length_check"):
                connection.execute(f"INSERT INTO idempotency_keys (key, request_hash, task_id) VALUES ({key}, '', 1)")


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
        ({"tags": "array_fill('x'::text, ARRAY[21])"}, "tasks_tags_count_check"),
        ({"tags": "ARRAY['x', NULL]"}, "tasks_tags_elements_check"),
        ({"tags": "ARRAY['x', '']"}, "tasks_tags_elements_check"),
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


def test_the_lock_file_is_up_to_date() -> None:
    lock = Path(PROJECT_FOLDER / "alembic" / "revisions.lock").read_text()

    assert f'heads = ["{revisions()[-1]}"]' in lock
