"""The metrics: names, labels and bounds that alerts and dashboards rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import psycopg
import pytest

from migration_gate.expected import LOCK_NAME, read_lock
from taskmanager import __version__
from taskmanager.app import create_app
from taskmanager.observability.request_metrics import DURATION_BUCKETS_S
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.settings import Settings
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.scraped import samples, value

Serve = Callable[..., Service]


async def scrape(client: httpx.AsyncClient) -> str:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return response.text


async def test_each_request_is_counted_by_its_template_its_method_and_its_exact_status(
    client: httpx.AsyncClient,
) -> None:
    await client.post("/tasks", json={"title": "t"})
    await client.get("/tasks/1")
    await client.get("/tasks/2")
    await client.get("/tasks/3")
    await client.get("/tasks/x")
    await client.delete("/tasks")

    text = await scrape(client)
    for handler, method, status, count in (
        ("/tasks", "POST", "201", 1.0),
        ("/tasks/{id}", "GET", "200", 1.0),
        ("/tasks/{id}", "GET", "404", 2.0),
        ("/tasks/{id}", "GET", "422", 1.0),
        ("/tasks", "DELETE", "405", 1.0),
    ):
        assert value(text, "http_requests_total", handler=handler, method=method, status=status) == count


async def test_durations_are_kept_by_handler_with_a_bound_at_two_seconds_and_above(client: httpx.AsyncClient) -> None:
    await client.get("/tasks")

    text = await scrape(client)
    bounds = {
        float(dict(labels)["le"])
        for name, labels in samples(text)
        if name == "http_request_duration_seconds_bucket" and ("handler", "/tasks") in labels
    }
    assert bounds == {*DURATION_BUCKETS_S, float("inf")}
    assert 2.0 in bounds
    assert {bound for bound in bounds if 2.0 < bound < float("inf")}
    assert value(text, "http_request_duration_seconds_count", handler="/tasks", method="GET") == 1.0
    assert value(text, "http_request_duration_highr_seconds_bucket", le="2.0") == 1.0


async def test_probes_and_scrapes_are_not_counted(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/livez", "/readyz", "/metrics", "/metrics"):
        await client.get(path)

    text = await scrape(client)
    assert not [labels for name, labels in samples(text) if name == "http_requests_total"]
    assert value(text, "http_request_duration_highr_seconds_count") in {None, 0.0}


async def test_what_a_client_makes_up_is_no_label(client: httpx.AsyncClient) -> None:
    for path in ("/canary4711", "/tasks/1/canary4711", "/tasks/canary4711", "/health/canary4711", "/%00canary4711"):
        await client.get(path, headers={"User-Agent": "canary4711"})
        await client.request("CANARY4711", path)

    text = await scrape(client)
    assert "canary4711" not in text.lower()
    assert value(text, "http_requests_total", handler="none", method="GET", status="404") == 4.0


async def test_a_flood_of_methods_and_paths_makes_no_series(client: httpx.AsyncClient) -> None:
    await client.get("/tasks/1")
    await client.get("/nowhere")
    await client.request("METHOD0", "/tasks")
    before = len(samples(await scrape(client)))

    for number in range(1, 100):
        await client.request(f"METHOD{number}", "/tasks")
        await client.get(f"/tasks/{number}")
        await client.get(f"/nowhere/{number}")

    assert len(samples(await scrape(client))) == before


async def test_the_verdict_of_the_gate_and_the_release_are_metrics(client: httpx.AsyncClient) -> None:
    text = await scrape(client)

    states = {dict(labels)["state"]: v for (name, labels), v in samples(text).items() if name == "migration_gate_state"}
    assert states["current"] == 1.0
    assert sum(states.values()) == 1.0
    assert len(states) > 5
    assert value(text, "migration_gate_servable") == 1.0
    assert value(text, "migration_gate_database_reachable") == 1.0
    assert value(text, "migration_gate_revisions_behind") == 0.0
    assert (value(text, "migration_gate_check_age_seconds") or 0.0) < 60
    heads = ",".join(read_lock(PROJECT_FOLDER / "alembic" / LOCK_NAME).heads)
    assert value(text, "taskmanager_build_info", version=__version__, commit="", schema_heads=heads) == 1.0


async def test_the_process_itself_is_measured(client: httpx.AsyncClient) -> None:
    text = await scrape(client)

    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert (value(text, name) or 0.0) > 0
    assert "_created" not in text


async def test_the_gates_refusals_are_counted(empty_database: Database) -> None:
    application = create_app(Settings(database_url=empty_database.app_url))
    async with application.router.lifespan_context(application):
        await application.state.watcher.first_answer()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client:
            await client.get("/tasks")
            await client.get("/tasks/1")
            text = await scrape(client)
        missing = application.state.watcher.verdict.status.missing

    assert value(text, "http_requests_total", handler="/tasks", method="GET", status="503") == 1.0
    assert value(text, "http_requests_total", handler="/tasks/{id}", method="GET", status="503") == 1.0
    assert value(text, "migration_gate_state", state="never_migrated") == 1.0
    assert value(text, "migration_gate_revisions_behind") == len(missing) > 1


async def test_two_applications_in_one_process_count_each_for_itself(tasks_database: Database) -> None:
    first, second = (create_app(Settings(database_url=tasks_database.app_url)) for _ in range(2))
    for application, requests in ((first, 1), (second, 2)):
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client,
        ):
            await application.state.watcher.first_answer()
            for _ in range(requests):
                await client.get("/tasks")
            text = await scrape(client)
            assert value(text, "http_requests_total", handler="/tasks", method="GET", status="200") == requests


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/health"])
async def test_metrics_and_probes_answer_while_the_pool_is_exhausted(tasks_database: Database, path: str) -> None:
    application = create_app(Settings(database_url=tasks_database.app_url, pool_size=1))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client,
    ):
        await application.state.watcher.first_answer()
        with psycopg.connect(tasks_database.migrator_url) as other:
            other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.create_task(client.get("/tasks")) for _ in range(5)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(2):
                answer = await client.get(path)
            assert answer.status_code in {200, 503}
            assert not any(task.done() for task in waiting)
        assert {(await task).status_code for task in waiting} <= {200, 503}


def test_a_served_application_counts_what_its_front_door_lets_in(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    service.request("POST", "/tasks", json={"title": "t"})
    service.request("CANARY4711", "/tasks")

    text = service.get("/metrics").text
    assert value(text, "http_requests_total", handler="/tasks", method="POST", status="201") == 1.0
    assert "CANARY4711" not in text
