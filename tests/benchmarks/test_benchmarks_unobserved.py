"""The service without what observes it: what is to be off is off, and nothing else is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.failures import WrongAnswer
from benchmarks.observed import Evidence, require
from benchmarks.unobserved import PARTS, without
from stack.process import wait_until
from tests.databases import Database
from tests.processes import Service

REQUESTS = 20
ALL = frozenset(PARTS)

Serve = Callable[..., Service]


def told(service: Service) -> Evidence:
    return Evidence(service.get("/metrics").text, service.log_file, REQUESTS)


def served(serve: Serve, database: Database, *command: str) -> Service:
    """A service that has been asked for tasks, started as `python -m command`."""
    service = serve(
        database, command=(sys.executable, "-m", *command, "--port", "{port}"), TASKMANAGER_LOG_FORMAT="json"
    )
    service.wait_for("/readyz", 200)
    for _ in range(REQUESTS):
        assert service.get("/tasks").status_code == 200
    return service


def holds(off: frozenset[str], evidence: Evidence) -> bool:
    try:
        require(off, evidence)
    except WrongAnswer:
        return False
    return True


def test_the_service_itself_has_everything_on(serve: Serve, migrated_database: Database) -> None:
    service = served(serve, migrated_database, "taskmanager", "serve")

    assert wait_until(lambda: holds(frozenset(), told(service)), 20, pause=0.1)
    for part in PARTS:
        with pytest.raises(WrongAnswer, match=f"{part} was to be off"):
            require(frozenset({part}), told(service))


def test_without_anything_there_are_no_counts_and_no_request_lines(serve: Serve, migrated_database: Database) -> None:
    service = served(serve, migrated_database, "benchmarks.unobserved")

    metrics = service.get("/metrics").text
    assert "http_requests_total{" not in metrics
    assert "taskmanager_postgres_connections NaN" in metrics
    assert "taskmanager_event_loop_lag_seconds 0.0" in metrics
    assert not [
        line
        for line in metrics.splitlines()
        if line.startswith(("taskmanager_db_query_duration_seconds_count", "taskmanager_db_pool_wait_seconds_count"))
        and not line.endswith(" 0.0")
    ]
    assert '"event": "service starts"' in service.log
    assert '"event": "request"' not in service.log
    require(ALL, told(service))
    for part in PARTS:
        with pytest.raises(WrongAnswer, match=f"{part} was to be on"):
            require(ALL - {part}, told(service))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_taken_off_alone(part: str, serve: Serve, migrated_database: Database) -> None:
    service = served(serve, migrated_database, "benchmarks.unobserved", "--without", part)

    assert wait_until(lambda: holds(frozenset({part}), told(service)), 20, pause=0.1)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_not_there_any_more_is_no_part_that_costs_nothing(part: str) -> None:
    bare: Any = SimpleNamespace(front_door=SimpleNamespace(metrics=object()), database=object())

    with pytest.raises(AttributeError):
        without(SimpleNamespace(state=bare), [part])  # type: ignore[arg-type]


def test_a_count_that_misses_answers_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"logger": "taskmanager.requests"}\n' * 9)
    metrics = 'http_requests_total{status="200"} 6.0\nhttp_requests_total{status="201"} 4.0\n'

    with pytest.raises(WrongAnswer, match="request_log was to be on, and has left 9 behind after 10 answers"):
        require(ALL - {"request_metrics", "request_log"}, Evidence(metrics, log, answers=10))
