"""What a process says of itself: its state, its room, its lateness, its disk."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from prometheus_client import PROCESS_COLLECTOR, generate_latest

from migration_gate.gate import Mode
from migration_gate.start import Progress
from taskmanager.app import create_app
from taskmanager.observability import metrics
from taskmanager.observability.process_metrics import DiskCollector, ProcessFigures
from taskmanager.observability.service_state import AppState
from taskmanager.settings import Settings
from tests import plain_http
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.scraped import by_label, scraped_until, value

Serve = Callable[..., Service]

STATE = "taskmanager_app_state"
REFUSED = "taskmanager_requests_refused_total"


def state_of(text: str) -> str:
    states = by_label(text, STATE, "state")
    assert set(states) == set(map(str, AppState))
    (state,) = (state for state, is_it in states.items() if is_it)
    return state


async def test_it_starts_until_the_first_look_has_ended(tasks_database: Database) -> None:
    application = create_app(Settings(database_url=tasks_database.app_url))

    assert application.state.service_state.now is AppState.STARTING
    await application.state.watcher.check()
    assert application.state.service_state.now is AppState.READY
    await application.state.probe.close()


async def test_a_database_that_was_never_reached_is_not_ready_and_no_longer_a_start() -> None:
    application = create_app(Settings(database_url="postgresql://nobody:x@127.0.0.1:1/nothing"))

    await application.state.watcher.check()

    assert application.state.service_state.now is AppState.NOT_READY


@pytest.mark.parametrize(
    ("mode", "state"), [(Mode.ENFORCE, AppState.NOT_READY), (Mode.WARN, AppState.READY), (Mode.OFF, AppState.READY)]
)
async def test_an_unmigrated_database_is_not_ready_where_the_gate_is_enforced(
    empty_database: Database, mode: Mode, state: AppState
) -> None:
    application = create_app(Settings(database_url=empty_database.app_url, schema_gate=mode))
    await application.state.watcher.check()

    assert application.state.service_state.now is state
    await application.state.probe.close()


async def test_what_is_refused_before_and_while_this_process_migrates_is_refused_as_planned(
    empty_database: Database,
) -> None:
    progress = Progress.WAITING
    application = create_app(Settings(database_url=empty_database.app_url))
    application.state.service_state._progress = lambda: progress
    await application.state.watcher.check()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client:
        for now, state in (
            (Progress.WAITING, AppState.MIGRATING),
            (Progress.RUNNING, AppState.MIGRATING),
            (Progress.HELD_UP, AppState.NOT_READY),
            (Progress.FAILED, AppState.NOT_READY),
            (Progress.NOT_POSSIBLE, AppState.NOT_READY),
        ):
            progress = now
            assert (await client.get("/tasks")).status_code == 503
            assert application.state.service_state.now is state
        text = (await client.get("/metrics")).text
    await application.state.probe.close()

    assert by_label(text, REFUSED, "reason") == {"overloaded": 0.0, "schema": 3.0, "migrating": 2.0}


def test_a_migration_at_start_goes_from_starting_through_migrating_to_ready(
    empty_database: Database, serve: Serve
) -> None:
    service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")
    seen: list[str] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not seen or seen[-1] != "ready"):
        try:
            state = state_of(service.get("/metrics").text)
        except httpx.TransportError:
            continue
        if not seen or seen[-1] != state:
            seen.append(state)

    assert [state for state in seen if state != "starting"] == ["migrating", "ready"]


async def test_requests_in_work_and_those_refused_for_want_of_room_are_told(tasks_database: Database) -> None:
    application = create_app(Settings(database_url=tasks_database.app_url, max_in_flight=2))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client,
    ):
        await application.state.watcher.first_answer()
        with psycopg.connect(tasks_database.migrator_url) as other:
            other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.create_task(client.get("/tasks")) for _ in range(2)]
            await asyncio.sleep(0.1)
            assert (await client.get("/tasks")).status_code == 503
            text = (await client.get("/metrics")).text
        await asyncio.gather(*waiting)

    # The scrape itself is one of them.
    assert value(text, "http_requests_inprogress") == 3.0
    assert value(text, "taskmanager_requests_in_flight_max") == 2.0
    assert by_label(text, REFUSED, "reason") == {"overloaded": 1.0, "schema": 0.0, "migrating": 0.0}


async def test_who_blocks_the_event_loop_is_seen(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (value((await client.get("/metrics")).text, "taskmanager_event_loop_lag_seconds") or 0.0) < 0.5

    await asyncio.sleep(0.05)
    time.sleep(0.7)  # noqa: ASYNC251  that is the fault
    await asyncio.sleep(0.2)

    lag = value((await client.get("/metrics")).text, "taskmanager_event_loop_lag_seconds")
    assert lag is not None
    assert lag > 0.4


def test_the_room_on_the_datas_disk_is_told(migrated_database: Database, serve: Serve, tmp_path: Path) -> None:
    service = serve(migrated_database, TASKMANAGER_DISK_FOLDER=str(tmp_path))
    service.wait_for("/livez", 200)

    text = service.get("/metrics").text
    found = os.statvfs(tmp_path)
    assert value(text, "taskmanager_disk_size_bytes") == found.f_blocks * found.f_frsize
    free = value(text, "taskmanager_disk_free_bytes")
    assert free is not None
    assert 0 < free < found.f_blocks * found.f_frsize


@pytest.mark.parametrize("folder", [None, Path("/nowhere/at/all")])
def test_a_disk_that_cannot_be_looked_at_is_not_a_number(folder: Path | None) -> None:
    values = [sample.value for metric in DiskCollector(folder).collect() for sample in metric.samples]

    assert len(values) == 2
    assert all(map(math.isnan, values))


def test_the_end_of_a_process_is_told_as_draining(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    with plain_http.Client(base_url=service.url) as client:
        assert state_of(client.get("/metrics").text) == "ready"
        service.process.terminate()
        scraped_until(service, lambda text: state_of(text) == "draining", within_s=5)


START_TIME = "process_start_time_seconds"


def start_times(proc: Path) -> list[float]:
    figures = ProcessFigures(proc=str(proc), registry=None)
    return [metric.samples[0].value for metric in figures.collect() if metric.name == START_TIME]


def test_where_there_is_no_proc_the_start_is_told_all_the_same_and_does_not_move(tmp_path: Path) -> None:
    (told,) = start_times(tmp_path)

    assert start_times(tmp_path) == [told]
    # This process has imported the service some time after its start, and before this test.
    assert 0 < time.time() - told < 24 * 3600


def test_where_there_is_a_proc_its_start_is_told_once() -> None:
    (expected,) = (metric.samples[0].value for metric in PROCESS_COLLECTOR.collect() if metric.name == START_TIME)

    assert start_times(Path("/proc")) == [expected]


def test_a_service_without_a_proc_tells_when_it_was_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metrics, "ProcessFigures", partial(ProcessFigures, proc=str(tmp_path)))

    text = generate_latest(
        metrics.new_registry(Settings(database_url="postgresql://nobody@nowhere/x"), (), ())
    ).decode()

    assert (value(text, START_TIME) or 0.0) > 0
