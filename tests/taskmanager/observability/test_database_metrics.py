"""Statements, what they meet, and who waits for a connection: counted from the first scrape, by kind and by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest

from taskmanager.app import create_app
from taskmanager.database import Database as RequestPath
from taskmanager.database_errors import ErrorKind, PoolTimeout, kind_of
from taskmanager.observability.database_metrics import DatabaseMetrics
from taskmanager.problems import DatabaseUnavailable
from taskmanager.settings import Settings
from taskmanager.tasks.statements import STATEMENTS
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.scraped import by_label, scraped_until, value
from tests.taskmanager.postgres_proxy import PostgresProxy

ERRORS = "taskmanager_db_errors_total"

Serve = Callable[..., Service]


@asynccontextmanager
async def serving(database: Database, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    application = create_app(Settings(database_url=database.app_url, **settings))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client,
    ):
        await application.state.watcher.first_answer()
        yield client


async def metrics_of(client: httpx.AsyncClient) -> str:
    return (await client.get("/metrics")).text


async def test_every_series_is_there_before_anything_happened(client: httpx.AsyncClient) -> None:
    text = await metrics_of(client)

    assert by_label(text, ERRORS, "kind") == dict.fromkeys(map(str, ErrorKind), 0.0)
    assert by_label(text, "taskmanager_db_query_duration_seconds_count", "operation") == dict.fromkeys(
        (*STATEMENTS, "other"), 0.0
    )
    assert value(text, "taskmanager_db_pool_wait_seconds_count") == 0.0
    assert by_label(text, "taskmanager_db_pool_connections", "state") == {"idle": 0.0, "used": 0.0}
    assert value(text, "taskmanager_db_pool_max") == 10.0
    assert value(text, "taskmanager_db_pool_waiting") == 0.0


async def test_statements_are_timed_by_their_names(client: httpx.AsyncClient) -> None:
    await client.post("/tasks", json={"title": "t"})
    await client.get("/tasks/1")
    await client.get("/tasks/1")
    await client.get("/tasks")

    text = await metrics_of(client)
    counts = by_label(text, "taskmanager_db_query_duration_seconds_count", "operation")
    assert {name: count for name, count in counts.items() if count} == {
        "create_task": 1.0,
        "get_task": 2.0,
        "list_newest": 1.0,
    }
    seconds = value(text, "taskmanager_db_query_duration_seconds_sum", operation="get_task")
    assert seconds is not None
    assert 0 < seconds < 5
    assert value(text, "taskmanager_db_query_duration_seconds_bucket", operation="get_task", le="+Inf") == 2.0
    assert value(text, "taskmanager_db_pool_wait_seconds_count") == 4.0
    assert by_label(text, "taskmanager_db_pool_connections", "state") == {"idle": 1.0, "used": 0.0}


async def test_who_waits_for_a_connection_in_vain_is_counted(tasks_database: Database) -> None:
    async with serving(tasks_database, pool_size=1) as client:
        await client.get("/tasks")
        with psycopg.connect(tasks_database.migrator_url) as other:
            other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.create_task(client.get("/tasks")) for _ in range(3)]
            await asyncio.sleep(0.2)
            during = await metrics_of(client)
            answers = await asyncio.gather(*waiting)
        after = await metrics_of(client)

    assert by_label(during, "taskmanager_db_pool_connections", "state") == {"idle": 0.0, "used": 1.0}
    assert value(during, "taskmanager_db_pool_waiting") == 2.0
    assert [answer.status_code for answer in answers] == [503] * 3
    errors = {kind: count for kind, count in by_label(after, ERRORS, "kind").items() if count}
    # The first has the connection and waits for the table; whoever got it then had less time for the same.
    assert errors.get("lock_timeout", 0) >= 1
    assert sum(errors.values()) == 3
    assert set(errors) <= {"lock_timeout", "pool_timeout", "connection"}


async def test_a_pool_that_is_used_up_is_a_kind_of_its_own(tasks_database: Database) -> None:
    metrics = DatabaseMetrics()
    database = RequestPath(tasks_database.app_url, 1, metrics)
    holder = asyncio.create_task(database.rows("SELECT pg_sleep(1.3)"))
    await asyncio.sleep(0.1)
    # It was asked for a while ago, so that its time is over before the connection comes back.
    with pytest.raises(DatabaseUnavailable):
        await database.rows("SELECT 1", asked=asyncio.get_running_loop().time() - 1.0)
    await holder
    await database.close()

    assert {kind: count for kind, count in metrics.errors.items() if count} == {ErrorKind.POOL_TIMEOUT: 1}


async def test_a_dropped_column_is_a_fault_of_the_schema(migrated_database: Database) -> None:
    async with serving(migrated_database, schema_gate="off") as client:
        migrated_database.execute("ALTER TABLE tasks DROP COLUMN title CASCADE")
        assert (await client.get("/tasks")).status_code == 500

        assert value(await metrics_of(client), ERRORS, kind="schema") == 1.0


async def test_a_privilege_that_is_lacking_is_a_kind_of_its_own(migrated_database: Database) -> None:
    async with serving(migrated_database, schema_gate="off") as client:
        migrated_database.execute("REVOKE SELECT ON tasks FROM taskmanager_app")
        await client.get("/tasks")

        assert value(await metrics_of(client), ERRORS, kind="privilege") == 1.0


def test_a_server_that_is_gone_is_counted_and_the_metrics_answer_meanwhile(
    migrated_database: Database, serve: Serve
) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database)
        service.wait_for("/tasks", 200)
        proxy.cut()
        assert service.get("/tasks").status_code == 503

        text = scraped_until(service, lambda text: (value(text, ERRORS, kind="connection") or 0) >= 1)
    assert value(text, "taskmanager_db_pool_max") == 10.0


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08006", "connection"),
        ("28P01", "connection"),
        ("3D000", "connection"),
        ("57P01", "connection"),
        ("57P03", "connection"),
        ("57014", "statement_timeout"),
        ("55P03", "lock_timeout"),
        ("40P01", "deadlock"),
        ("40001", "serialization"),
        ("42P01", "schema"),
        ("42703", "schema"),
        ("3F000", "schema"),
        ("0A000", "schema"),
        ("42501", "privilege"),
        ("23505", "integrity"),
        ("22P02", "data"),
        ("25006", "read_only"),
        ("53300", "resource"),
        ("53100", "resource"),
        ("XX000", "other"),
        ("P0001", "other"),
    ],
)
def test_the_kind_follows_the_sqlstate(sqlstate: str, kind: str) -> None:
    error = asyncpg.PostgresError("the message")
    error.sqlstate = sqlstate

    assert kind_of(error) == kind


def test_what_has_no_sqlstate_is_the_connections_or_the_pools() -> None:
    assert kind_of(ConnectionRefusedError()) is ErrorKind.CONNECTION
    assert kind_of(asyncpg.InterfaceError("closed")) is ErrorKind.CONNECTION
    assert kind_of(TimeoutError()) is ErrorKind.CONNECTION
    assert kind_of(PoolTimeout()) is ErrorKind.POOL_TIMEOUT


def test_a_statement_without_a_name_is_told_as_other() -> None:
    metrics = DatabaseMetrics({"one": "SELECT 1"})

    metrics.took("SELECT 1", 0.001)
    metrics.took("SELECT title FROM tasks", 20.0)

    assert metrics.durations["one"].buckets()[0] == ("0.001", 1)
    assert metrics.durations["other"].buckets()[-2:] == [("10.0", 0), ("+Inf", 1)]
    assert metrics.durations["other"].sum_s == 20.0
