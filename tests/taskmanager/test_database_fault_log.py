"""Each error of the database that wakes somebody leaves its line in the log, and a flood of them leaves few."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import pytest_asyncio

from taskmanager.database import Database as RequestPath
from taskmanager.database_errors import ErrorKind
from taskmanager.database_fault_log import LINE_INTERVAL_S
from taskmanager.observability.database_metrics import DatabaseMetrics
from taskmanager.problems import DatabaseUnavailable
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.postgres_proxy import PostgresProxy
from tests.taskmanager.served_logs import json_lines

Serve = Callable[..., Service]

CANARY = "canary4711"
SLEEP = "SELECT pg_sleep(3)"


def refusal(sqlstate: str) -> str:
    """A statement that PostgreSQL refuses with this code, in words that hold a value."""
    return f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}' USING ERRCODE = '{sqlstate}', DETAIL = '{CANARY}'; END $$"


@pytest.fixture
def metrics() -> DatabaseMetrics:
    return DatabaseMetrics({"sleep": SLEEP})


@pytest_asyncio.fixture
async def database(tasks_database: Database, metrics: DatabaseMetrics) -> AsyncIterator[RequestPath]:
    database = RequestPath(tasks_database.app_url, 2, metrics)
    yield database
    await database.close()


async def fail(database: RequestPath, sql: str) -> None:
    with pytest.raises((DatabaseUnavailable, asyncpg.PostgresError)):
        await database.rows(sql)


def lines(log: pytest.LogCaptureFixture, kind: str) -> list[logging.LogRecord]:
    """The warnings and errors about a kind."""
    return [
        record for record in log.records if record.levelno >= logging.WARNING and record.__dict__.get("kind") == kind
    ]


def field(record: logging.LogRecord, name: str) -> object:
    return record.__dict__.get(name)


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("57P03", "connection"),
        ("57014", "statement_timeout"),
        ("55P03", "lock_timeout"),
        ("40P01", "deadlock"),
        ("40001", "serialization"),
        ("42P01", "schema"),
        ("42501", "privilege"),
        ("25006", "read_only"),
        ("53100", "resource"),
        ("P0001", "other"),
    ],
)
async def test_what_the_alert_counts_leaves_a_line_with_its_kind_and_its_sqlstate(
    database: RequestPath, caplog: pytest.LogCaptureFixture, sqlstate: str, kind: str
) -> None:
    await fail(database, refusal(sqlstate))

    [line] = lines(caplog, kind)
    assert line.getMessage() == "database error"
    assert field(line, "code") == "database_error"
    assert field(line, "db.response.status_code") == sqlstate
    assert field(line, "db.query.summary") == "other"
    assert field(line, "errors") == 1
    assert CANARY not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize("sqlstate", ["23505", "22P02"])
async def test_what_clients_cause_leaves_no_line(
    database: RequestPath, metrics: DatabaseMetrics, caplog: pytest.LogCaptureFixture, sqlstate: str
) -> None:
    await fail(database, refusal(sqlstate))

    assert sum(metrics.errors.values()) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_statement_that_takes_too_long_is_told_by_its_name(
    database: RequestPath, caplog: pytest.LogCaptureFixture
) -> None:
    await fail(database, SLEEP)

    [line] = lines(caplog, "statement_timeout")
    assert field(line, "db.query.summary") == "sleep"
    assert field(line, "db.response.status_code") == "57014"


async def test_a_flood_leaves_two_lines_in_five_seconds_which_count_every_error(
    database: RequestPath, metrics: DatabaseMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    for _ in range(30):
        await fail(database, refusal("40P01"))
    await fail(database, refusal("42P01"))
    assert [field(line, "errors") for line in lines(caplog, "deadlock")] == [1]
    assert [field(line, "errors") for line in lines(caplog, "schema")] == [1]

    while len(told := lines(caplog, "deadlock")) < 2:
        assert time.monotonic() - began < LINE_INTERVAL_S + 3
        await asyncio.sleep(0.05)

    assert time.monotonic() - began >= LINE_INTERVAL_S
    assert [field(line, "errors") for line in told] == [1, 29]
    assert metrics.errors[ErrorKind.DEADLOCK] == 30
    assert field(told[1], "db.response.status_code") == "40P01"


async def test_what_was_to_be_told_later_is_told_at_the_end(
    database: RequestPath, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await fail(database, refusal("40001"))
    await database.close()

    assert [field(line, "errors") for line in lines(caplog, "serialization")] == [1, 2]


def test_a_lost_connection_is_told_without_an_sqlstate_since_nobody_gave_one(
    migrated_database: Database, serve: Serve
) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database, TASKMANAGER_LOG_FORMAT="json")
        service.wait_for("/tasks", 200)
        proxy.cut()
        assert service.get("/tasks").status_code == 503
        proxy.restore()
        service.wait_for("/tasks", 200)
        told = [line for line in json_lines(service) if line["event"] == "database error"]
        assert told[0]["kind"] == "connection"
        assert "db.response.status_code" not in told[0]
        assert told[0]["db.query.summary"] == "list_newest"
        assert told[0]["request_id"]


def test_a_statement_that_meets_another_schema_is_told_with_its_sqlstate(
    migrated_database: Database, serve: Serve
) -> None:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    # A request meets it before the gate does, which looks once a second.
    migrated_database.execute("DROP TABLE tasks CASCADE")
    service.wait_for("/tasks", 503)

    told = {line["event"].partition(":")[0]: line for line in json_lines(service)}
    for event in ("database error", "a statement met another schema"):
        assert told[event]["db.response.status_code"] == "42P01"
        assert told[event]["level"] == "warning"
