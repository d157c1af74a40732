"""What the pipe makes of an error, a value and a level; nothing that may quote a client is told."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError

from taskmanager.observability import logs
from tests.databases import Database

CANARY = "canary4711"
EMAIL = "somebody@canary4711.example"


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Puts the root logger back, whose handlers are pytest's."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def stream(root_logger: None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(as_json=True, level="info", stream=stream)
    return stream


def last(stream: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return line


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        (f"SELECT '{CANARY}'::int", "22P02"),
        (f"INSERT INTO tasks (title) VALUES ('{CANARY}' || repeat('x', 300))", "23514"),
        (f"INSERT INTO tasks (title, status) VALUES ('t', '{CANARY}')", "23514"),
        ("SELECT 9223372036854775807 + 4711", "22003"),
    ],
)
async def test_an_error_that_quotes_a_value_is_told_without_it(
    tasks_database: Database, stream: io.StringIO, sql: str, sqlstate: str
) -> None:
    connection = await asyncpg.connect(tasks_database.app_url)
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError:
        logging.getLogger("test").exception("failed")
    finally:
        await connection.close()

    line = last(stream)
    assert sqlstate in line["exception.message"]
    assert CANARY not in stream.getvalue()
    assert line["exception.type"].startswith("asyncpg.exceptions.")
    assert "test_logged_errors" in line["exception.stacktrace"]


async def test_an_argument_of_a_wrong_type_is_not_quoted(tasks_database: Database, stream: io.StringIO) -> None:
    connection = await asyncpg.connect(tasks_database.app_url)
    try:
        await connection.fetchrow("SELECT $1::int", CANARY)
    except asyncpg.DataError:
        logging.getLogger("test").exception("failed")
    finally:
        await connection.close()

    assert last(stream)["exception.type"] == "asyncpg.exceptions.DataError"
    assert CANARY not in stream.getvalue()


async def test_an_error_of_the_schema_is_told_in_full(tasks_database: Database, stream: io.StringIO) -> None:
    connection = await asyncpg.connect(tasks_database.app_url)
    try:
        await connection.fetchrow("SELECT nothing FROM tasks")
    except asyncpg.PostgresError:
        logging.getLogger("test").exception("failed")
    finally:
        await connection.close()

    assert last(stream)["exception.message"] == 'column "nothing" does not exist (SQLSTATE 42703)'


def test_psycopgs_errors_are_told_by_the_same_rule(tasks_database: Database) -> None:
    with psycopg.connect(tasks_database.app_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as quoting:
            connection.execute(f"SELECT '{CANARY}'::int")
        with pytest.raises(psycopg.errors.UndefinedTable) as plain:
            connection.execute("SELECT * FROM nowhere")

    assert CANARY not in logs.told(quoting.value)
    assert logs.told(plain.value) == 'relation "nowhere" does not exist (SQLSTATE 42P01)'
    wrapped = ProgrammingError("SELECT * FROM nowhere", {"x": CANARY}, plain.value)
    assert logs.told(wrapped) == logs.told(plain.value)
    assert CANARY not in logs.told(ProgrammingError("SELECT", {"x": CANARY}, quoting.value))


def test_any_other_error_is_told_by_its_type_and_place(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY[:4] + EMAIL)
    except ValueError:
        logging.getLogger("test").exception("failed")

    line = last(stream)
    assert line["exception.type"] == "builtins.ValueError"
    assert EMAIL not in stream.getvalue()
    assert line["level"] == "error"


def test_a_line_break_in_a_message_makes_no_second_line(stream: io.StringIO) -> None:
    logging.getLogger("test").warning("one\n%s", {"a": "é\u2028b\n"}, extra={"field": "x\ny"})

    assert len(stream.getvalue().split("\n")) == 2
    assert last(stream)["field"] == "x\ny"


def test_what_json_does_not_know_is_written_all_the_same(stream: io.StringIO) -> None:
    logging.getLogger("test").warning("odd", extra={"a": {1, 2}, "b": b"\xff", "c": object(), "d": "\ud800"})

    assert last(stream)["event"] == "odd"


def test_the_level_holds_for_every_logger(root_logger: None) -> None:
    stream = io.StringIO()
    logs.configure(as_json=True, level="error", stream=stream)

    logging.getLogger("uvicorn.error").warning("not severe enough")
    logging.getLogger("alembic").error("severe")

    assert last(stream)["event"] == "severe"
    assert len(stream.getvalue().splitlines()) == 1
