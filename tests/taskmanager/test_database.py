"""A service whose database hangs, goes away and comes back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import httpx
import psycopg
import pytest
from fastapi import FastAPI

from taskmanager.app import create_app
from taskmanager.database import Database as RequestPath
from taskmanager.problems import DatabaseUnavailable
from taskmanager.settings import Settings
from tests.databases import Database, Server
from tests.processes import NOT_HELD_S, Service
from tests.taskmanager.postgres_proxy import PostgresProxy
from tests.taskmanager.problem_documents import problem_of
from tests.taskmanager.served_logs import requests_of

Serve = Callable[..., Service]


@pytest.fixture
def proxy(migrated_database: Database) -> Iterator[PostgresProxy]:
    with PostgresProxy(migrated_database) as proxy:
        yield proxy


@pytest.fixture
def service(proxy: PostgresProxy, serve: Serve) -> Service:
    service = serve(proxy.database)
    service.wait_for("/tasks", 200)
    return service


def test_a_service_whose_database_breaks_off_answers_503_and_serves_again_afterwards(
    proxy: PostgresProxy, service: Service
) -> None:
    proxy.cut()

    refusal = service.get("/tasks")
    problem_of(refusal, 503, "database_unavailable")
    assert refusal.headers["retry-after"] == "2"
    service.wait_for("/health", 503)
    problem_of(service.request("POST", "/tasks", json={"title": "t"}), 503, "database_unavailable")
    assert service.get("/livez").status_code == 200

    proxy.restore()
    assert service.wait_for("/tasks", 200).json() == []
    assert service.wait_for("/health", 200).json()["status"] == "ok"
    assert "Traceback" not in service.log
    assert "unhandled error" not in service.log


def test_a_service_that_was_servable_keeps_its_verdict_and_calls_it_stale(
    proxy: PostgresProxy, service: Service
) -> None:
    proxy.cut()

    checks = service.wait_for("/health", 503).json()["checks"]
    assert checks["database"]["status"] == "fail"
    assert checks["schema"]["state"] == "current"
    assert checks["schema"]["stale"] is True
    metrics = service.get("/metrics").text
    assert 'migration_gate_state{state="current"} 1.0' in metrics
    assert "migration_gate_servable 1.0" in metrics
    assert "migration_gate_database_reachable 0.0" in metrics
    assert "migration_gate_revisions_behind NaN" in metrics

    proxy.restore()
    assert "stale" not in service.wait_for("/health", 200).json()["checks"]["schema"]


def test_probes_answer_while_the_database_is_silent(proxy: PostgresProxy, service: Service) -> None:
    proxy.fall_silent()
    expected = {"/livez": 200, "/version": 200, "/metrics": 200, "/readyz": 503, "/health": 503}
    service.wait_for("/health", 503, within_s=10)

    # Longer than the watcher's pause and time-out together, so that every phase of a check is met.
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        for path, status in expected.items():
            asked_at = time.monotonic()
            assert service.get(path).status_code == status
            assert time.monotonic() - asked_at < NOT_HELD_S

    proxy.restore()
    service.wait_for("/health", 200)


def test_a_request_is_refused_and_not_held_while_the_database_is_silent(proxy: PostgresProxy, service: Service) -> None:
    proxy.fall_silent()

    # The first meets a connection that the pool believes to be good; a later one has to make a new one.
    for _ in range(3):
        asked_at = time.monotonic()
        problem_of(service.request("GET", "/tasks"), 503, "database_unavailable")
        assert time.monotonic() - asked_at < NOT_HELD_S

    proxy.restore()
    service.wait_for("/tasks", 200)


def test_many_requests_at_once_are_refused_and_not_held_while_the_database_is_silent(
    proxy: PostgresProxy, service: Service
) -> None:
    proxy.fall_silent()

    with ThreadPoolExecutor(30) as clients:
        answers = list(clients.map(lambda _: service.get("/tasks"), range(30)))

    for answer in answers:
        problem_of(answer, 503, "database_unavailable")
    proxy.restore()
    service.wait_for("/tasks", 200)


def test_requests_that_are_asked_together_are_refused_by_the_time_that_each_came(
    proxy: PostgresProxy, serve: Serve
) -> None:
    """Two statements go out; who gathers behind them does not begin to count when they have failed."""
    service = serve(proxy.database, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    proxy.fall_silent()

    def ask(number: int) -> httpx.Response:
        method, path, body = [("GET", "/tasks/1", None), ("POST", "/tasks", {"title": "t"})][number % 2]
        time.sleep(number * 0.02)
        return service.request(method, path, json=body)

    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(ask, range(50)))

    for answer in answers:
        problem_of(answer, 503, "database_unavailable")
        (line,) = (line for line in requests_of(service, answer.headers["x-request-id"]) if line["event"] == "request")
        # As the service tells it, which knows nothing of how busy its clients are. Counted anew, those who gathered
        # would be told after more than three seconds.
        assert line["duration_s"] < 2.5
    proxy.restore()
    service.wait_for("/tasks", 200)
    # What was refused was not made; what was on its way when silence fell may have been.
    assert len(service.get("/tasks").json()) <= 25


def test_a_service_starts_before_its_database(proxy: PostgresProxy, serve: Serve) -> None:
    proxy.cut()
    service = serve(proxy.database)

    assert service.wait_for("/livez", 200).json() == {"status": "ok"}
    problem_of(service.wait_for("/tasks", 503), 503, "unreachable")
    assert service.get("/health").json()["checks"]["database"]["status"] == "fail"

    proxy.restore()
    service.wait_for("/tasks", 200)
    service.wait_for("/health", 200)


def test_a_service_ends_while_its_database_is_silent(proxy: PostgresProxy, service: Service) -> None:
    proxy.fall_silent()

    assert service.stop() == 0
    assert "service stopped" in service.log
    assert "Traceback" not in service.log


def test_sessions_that_the_server_ended_are_replaced(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name LIKE 'taskmanager%%'",
            [migrated_database.name],
        ).fetchone()
    assert ended
    assert ended[0] > 0

    # One request may still meet the session that was ended.
    assert service.get("/tasks").status_code in {200, 503}
    service.wait_for("/tasks", 200, within_s=5)
    assert "unhandled error" not in service.log


async def test_a_request_that_waits_for_a_lock_is_told_so_in_time(
    client: httpx.AsyncClient, tasks_database: Database
) -> None:
    with psycopg.connect(tasks_database.migrator_url) as other:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        response = await client.get("/tasks")

    problem_of(response, 503, "database_unavailable")


async def test_requests_beyond_the_pool_wait_their_turn_and_are_refused_after_it(tasks_database: Database) -> None:
    database = RequestPath(tasks_database.app_url, size=1)
    try:
        served = [asyncio.create_task(database.row("SELECT pg_sleep(0.8)")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailable):
            await database.row("SELECT 1")
        await asyncio.gather(*served)
        assert tuple(await database.row("SELECT 1") or ()) == (1,)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("sqlstate", "passes"),
    [("53300", True), ("57P03", True), ("40P01", True), ("40001", True), ("55P03", True), ("08006", True),
     ("57014", True), ("42P01", False), ("22003", False), ("23514", False), ("XX000", False)],
)  # fmt: skip
async def test_only_what_passes_by_itself_is_worth_another_try(
    tasks_database: Database, sqlstate: str, passes: bool
) -> None:
    database = RequestPath(tasks_database.app_url, size=1)
    try:
        with pytest.raises(Exception, match=r".+") as raised:
            await database.row(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = 'm'; END $$")
    finally:
        await database.close()

    assert isinstance(raised.value, DatabaseUnavailable) == passes


async def test_every_session_is_bounded_and_named(app: FastAPI) -> None:
    database: RequestPath = app.state.database

    settings = {
        name: (await database.row(f"SHOW {name}") or ("",))[0]
        for name in ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    }

    assert settings == {
        "application_name": "taskmanager",
        "statement_timeout": "1400ms",
        "lock_timeout": "1200ms",
        "idle_in_transaction_session_timeout": "10s",
    }


async def test_a_request_that_is_cancelled_gives_its_place_back(tasks_database: Database) -> None:
    database = RequestPath(tasks_database.app_url, size=1)
    try:
        for work in ("SELECT pg_sleep(1)", "SELECT 1"):
            cancelled = asyncio.create_task(database.row(work))
            await asyncio.sleep(0.1)
            waiting = asyncio.create_task(database.row(work))
            await asyncio.sleep(0)
            for task in (cancelled, waiting):
                task.cancel()
            await asyncio.gather(cancelled, waiting, return_exceptions=True)
            assert tuple(await database.row("SELECT 1") or ()) == (1,)
    finally:
        await database.close()


async def test_who_waits_is_served_when_the_one_before_breaks_its_session(tasks_database: Database) -> None:
    database = RequestPath(tasks_database.app_url, size=1)
    try:
        breaks = asyncio.create_task(database.row("SELECT pg_terminate_backend(pg_backend_pid())"))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(database.row("SELECT 1")) for _ in range(5)]
        with pytest.raises(DatabaseUnavailable):
            await breaks
        assert [tuple(row or ()) for row in await asyncio.gather(*waiting)] == [(1,)] * 5
    finally:
        await database.close()


async def test_there_are_never_more_sessions_than_were_asked_for(tasks_database: Database) -> None:
    chance = random.Random(4711)  # noqa: S311  the same story each time
    database = RequestPath(tasks_database.app_url, size=3)
    sessions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'taskmanager'"
    )
    broken = "SELECT pg_terminate_backend(pg_backend_pid())"
    most = 0
    try:
        for _ in range(60):
            work = [
                asyncio.create_task(database.row(chance.choice(["SELECT 1", "SELECT pg_sleep(0.01)", broken])))
                for _ in range(8)
            ]
            await asyncio.sleep(chance.random() * 0.01)
            chance.choice(work).cancel()
            if chance.random() < 0.1:
                database.renew()
            await asyncio.gather(*work, return_exceptions=True)
            row = await database.row(sessions)
            most = max(most, row[0] if row else 0)
        await asyncio.sleep(0.2)
        row = await database.row(sessions)
        assert row is not None
        assert row[0] <= 3
        # One that is being closed may still be seen beside the one that replaces it.
        assert most <= 3 + 8
    finally:
        await database.close()


async def test_a_server_without_a_free_session_is_not_stormed(server: Server, tasks_database: Database) -> None:
    with psycopg.connect(tasks_database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1")
        try:
            address = tasks_database.app_url.partition("@")[2]
            database = RequestPath(f"postgresql://narrow:narrow@{address}", size=10)
            attempts = 0
            connect = database._connect

            async def counted(*timeout_s: float) -> asyncpg.Connection:
                nonlocal attempts
                attempts += 1
                return await connect(*timeout_s)

            database._connect = counted  # type: ignore[method-assign]
            answers = await asyncio.gather(
                *(database.row("SELECT pg_sleep(0.05)") for _ in range(40)), return_exceptions=True
            )
            await database.close()
            assert all(isinstance(answer, DatabaseUnavailable | asyncpg.Record) for answer in answers)
            assert attempts <= 50
        finally:
            admin.execute("DROP ROLE narrow")


async def test_sessions_of_before_a_change_of_schema_are_replaced(tasks_database: Database) -> None:
    database = RequestPath(tasks_database.app_url, size=2)
    try:
        pid = "SELECT pg_backend_pid()"
        before = await asyncio.gather(database.row(pid), database.row(pid))
        in_use = asyncio.create_task(database.row("SELECT pg_backend_pid() FROM pg_sleep(0.3)"))
        await asyncio.sleep(0.1)
        database.renew()
        assert await in_use in before
        after = await asyncio.gather(database.row(pid), database.row(pid))
        assert set(after).isdisjoint(before)
    finally:
        await database.close()


def test_an_outage_is_told_at_its_beginning_and_its_end_and_not_by_every_request(
    proxy: PostgresProxy, service: Service
) -> None:
    proxy.cut()
    with ThreadPoolExecutor(8) as clients:
        refused = list(clients.map(lambda _: service.get("/tasks").status_code, range(40)))
    proxy.restore()
    service.wait_for("/tasks", 200)

    assert set(refused) == {503}
    assert 1 <= service.log.count("database error") <= 3
    assert service.log.count("database serves again") == 1


def test_the_end_of_the_application_leaves_no_session_behind(migrated_database: Database) -> None:
    async def live_once() -> None:
        application = create_app(Settings(database_url=migrated_database.app_url))
        async with application.router.lifespan_context(application):
            await application.state.watcher.first_answer()
            await application.state.database.row("SELECT 1")

    asyncio.run(live_once())

    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 5
    while migrated_database.execute(others) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert migrated_database.execute(others) == []
