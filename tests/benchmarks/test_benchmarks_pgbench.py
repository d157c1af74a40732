"""pgbench replays the service's own statements, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from benchmarks import programs, table
from benchmarks.cells import CELLS, NEW_TASK
from benchmarks.failures import Missing, WrongAnswer
from benchmarks.pgbench import as_pgbench, run_pgbench
from benchmarks.replayed import RANDOM_ID, Statement, replayed_statements
from benchmarks.tasks import TableTasks, Task
from benchmarks.wrk import SHORTEST_TASK_BYTES
from stack.postgres import find_binaries
from tests.databases import Database
from tests.processes import lacking

ROWS = 300


@pytest.fixture
def filled(migrated_database: Database) -> table.Database:
    database = migrated_database
    described = table.Database(database.name, database.app_url, database.migrator_url, database.admin_url)
    table.fill(described, ROWS)
    return described


def test_placeholders_become_variables_with_values() -> None:
    statement = Statement("SELECT $1::bigint, $2::text, $1", (7, "l'été"))

    assert as_pgbench(statement) == (
        "SELECT :argument_1::bigint, :argument_2::text, :argument_1",
        {"argument_1": "7", "argument_2": "l'été"},
    )


def test_what_pgbench_cannot_send_is_a_literal_or_drawn() -> None:
    text, variables = as_pgbench(Statement("SELECT $1::timestamptz, $2::bigint[]", (None, [RANDOM_ID])))

    assert text == "SELECT NULL::timestamptz, ARRAY[:argument_2]::bigint[]"
    assert variables == {}


def test_a_colon_in_a_literal_is_not_taken_for_a_variable() -> None:
    text, _ = as_pgbench(Statement("""SELECT to_char(now(), 'HH24:MI:SS'), 'it''s \\ here', 'a:b''c'""", ()))

    assert text == """SELECT to_char(now(), E'HH24\\x3aMI\\x3aSS'), 'it''s \\ here', E'a\\x3ab''c'"""


def test_values_are_spelled_as_postgresql_reads_them() -> None:
    moments = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    _, variables = as_pgbench(Statement("SELECT $1, $2, $3, $4, $5", (*moments, [], ("a", None))))

    assert list(variables.values()) == ["infinity", "-infinity", "2026-01-02T00:00:00+00:00", "{}", '{"a",NULL}']


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3)])
def test_a_statement_that_takes_other_arguments_is_not_run(arguments: tuple[object, ...]) -> None:
    with pytest.raises(WrongAnswer, match="takes 2 arguments"):
        as_pgbench(Statement("SELECT $1, $2", arguments))


def test_each_cells_statement_does_the_cells_work(filled: table.Database) -> None:
    with psycopg.connect(filled.app_url, autocommit=True) as connection:
        answers = {}
        for name, statement in replayed_statements().items():
            text, variables = as_pgbench(statement)
            for variable, value in ({"argument_1": "7"} | variables).items():
                for after in ":] ":
                    text = text.replace(f":{variable}{after}", f"{psycopg.sql.quote(value)}{after}")
            row = connection.execute(text).fetchone()
            assert row
            answers[name] = json.loads(next(str(value) for value in row if str(value)[0] in "[{"))

    assert answers["get_one"]["id"] == 7
    assert len(answers["get_50"]) in (50, 51)
    assert answers["get_50"][0]["id"] == ROWS
    assert {name: answers["post"][name] for name in NEW_TASK} == dict(NEW_TASK)


def test_pgbench_runs_all_three(filled: table.Database, tmp_path: Path) -> None:
    try:
        program = programs.pgbench(find_binaries().folder)
    except Missing as missing:
        lacking("pgbench", str(missing))

    runs = [run_pgbench(program, filled, cell, rows=ROWS, seconds=1, folder=tmp_path) for cell in CELLS]

    assert all(run.rate > 0 for run in runs)
    with filled.admin() as admin:
        created = admin.execute("SELECT count(*) FROM tasks WHERE title = %s", [NEW_TASK["title"]]).fetchone()
    assert created == (runs[2].answers,)


def test_the_table_is_the_same_each_time_and_has_every_kind_of_task(filled: table.Database) -> None:
    with filled.admin() as admin:
        (kinds,) = admin.execute(
            "SELECT count(DISTINCT (status, priority, due_at IS NULL, tags = '{}')) FROM tasks"
        ).fetchone() or (0,)
        indexes = admin.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'tasks'").fetchone()
        first = admin.execute("SELECT title, created_at FROM tasks WHERE id = 1").fetchone()

    assert int(str(kinds)) > 30  # of 36
    assert indexes
    assert int(str(indexes[0])) > 3
    assert first
    assert str(first[0]).startswith("Task 1: ")
    assert first[1] == datetime(2025, 1, 1, 0, 0, 1, 124_000, tzinfo=UTC)


def test_no_task_is_shorter_than_what_wrks_answers_are_held_against(filled: table.Database) -> None:
    with filled.admin() as admin:
        admin.execute("INSERT INTO tasks (title, description) VALUES (%s, %s)", list(NEW_TASK.values()))
        stored = TableTasks(admin).newest(ROWS + 1)

    assert min(len(json.dumps(as_javascript(task), separators=(",", ":"))) for task in stored) >= SHORTEST_TASK_BYTES


def as_javascript(task: Task) -> dict[str, object]:
    """The shortest spelling: times that end at milliseconds."""
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%S.000Z") if isinstance(value, datetime) else value
        for name, value in task.items()
    }
