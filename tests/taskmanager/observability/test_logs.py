"""The one pipe: every line in one form, and no line with what a client sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from taskmanager import __version__
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.postgres_proxy import PostgresProxy
from tests.taskmanager.raw_http import exchange, request
from tests.taskmanager.served_logs import json_lines, requests_of

Serve = Callable[..., Service]

CANARY = "canary4711"
EMAIL = "somebody@canary4711.example"


@pytest.fixture
def production(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    return service


def test_in_production_every_line_is_one_json_object_uvicorns_among_them(production: Service) -> None:
    exchange(production.port, b"this is no HTTP\r\n\r\n")
    production.stop()

    lines = json_lines(production)
    assert {"taskmanager.app", "taskmanager.requests", "uvicorn.error", "migration_gate.watch"} <= {
        line["logger"] for line in lines
    }
    for line in lines:
        assert line.keys() >= {"event", "level", "logger", "timestamp"}
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)
        assert (line["service.name"], line["service.version"]) == ("taskmanager", __version__)
        assert line["deployment.environment.name"] == "development"
        assert "trace_id" not in line


@pytest.mark.parametrize("entry", ["taskmanager", "uvicorn"])
def test_the_lines_of_a_migration_at_the_start_come_in_the_same_form(
    empty_database: Database, serve: Serve, entry: str
) -> None:
    command = (sys.executable, "-m", "uvicorn", "main:app", "--port", "{port}") if entry == "uvicorn" else None
    service = serve(empty_database, command=command, TASKMANAGER_LOG_FORMAT="json", TASKMANAGER_MIGRATE="on_start")
    service.wait_for("/tasks", 200)
    service.stop()

    # uvicorn speaks before it imports the application that sets up the pipe.
    lines = [line for line in service.log.splitlines() if entry == "taskmanager" or line.startswith("{")]
    loggers = {json.loads(line)["logger"] for line in lines}
    assert any(name.startswith("alembic") for name in loggers), service.log
    assert any(name.startswith("migration_gate") for name in loggers)
    if entry == "taskmanager":
        json_lines(service)


def test_uvicorn_by_its_own_command_line_speaks_through_the_pipe(migrated_database: Database, serve: Serve) -> None:
    command = (sys.executable, "-m", "uvicorn", "main:app", "--port", "{port}")
    service = serve(migrated_database, command=command, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    service.stop()

    lines = json_lines(service)
    assert "uvicorn.error" in {line["logger"] for line in lines}
    assert "uvicorn.access" not in {line["logger"] for line in lines}
    assert [line["event"] for line in lines if line["logger"] == "taskmanager.app"][-1] == "service stopped"


def test_a_request_is_one_line_with_its_route_and_without_its_path(production: Service) -> None:
    production.request("GET", f"/tasks/17?x={CANARY}", headers={"X-Request-Id": "the-request"})

    (line,) = requests_of(production, "the-request")
    assert line["http.request.method"] == "GET"
    assert line["http.route"] == "/tasks/{id}"
    assert line["http.response.status_code"] in {404, 422}
    assert 0 <= line["duration_s"] < 10
    assert line["level"] == "info"
    assert "17" not in {str(value) for value in line.values()}


def test_nothing_that_a_client_sends_is_logged(production: Service) -> None:
    headers = {"User-Agent": CANARY, "Cookie": CANARY, "Authorization": f"Bearer {CANARY}", "X-Forwarded-For": CANARY}
    task = {"title": CANARY, "description": EMAIL}
    address = production.request("POST", "/tasks", json=task, headers=headers).headers["location"]
    production.request("PUT", address, json=task, headers=headers)
    for path in (f"/{CANARY}", f"/tasks/{CANARY}", f"/tasks?limit={CANARY}", f"/tasks?{CANARY}=1", f"/{EMAIL}"):
        production.request("GET", path, headers=headers)
    production.request("POST", "/tasks", json={"title": [CANARY], CANARY: EMAIL})
    production.request("POST", "/tasks", content=CANARY.encode(), headers={"Content-Type": "application/json"})
    production.request(CANARY.upper(), "/tasks")
    exchange(production.port, request(b"/tasks", headers=b"X-Request-Id: no/" + CANARY.encode() + b"\r\n"))
    exchange(production.port, b"GET /" + CANARY.encode() + b"\r\n\r\n")
    exchange(production.port, CANARY.encode() + b"\0\r\n\r\n")
    production.stop()

    requests = [line for line in json_lines(production) if line["event"] == "request"]
    assert len(requests) > 8
    assert CANARY not in production.log.lower()
    # The address it listens on is the service's own; a client's would come with its port.
    client_lines = [line for line in json_lines(production) if "127.0.0.1" in json.dumps(line)]
    assert all("Uvicorn running on" in line["event"] for line in client_lines)


def test_what_others_log_of_a_client_is_scrubbed(migrated_database: Database, serve: Serve) -> None:
    # uvicorn by itself takes WebSockets, and logs who wanted one and with which path.
    command = (sys.executable, "-m", "uvicorn", "main:app", "--port", "{port}", "--host", "127.0.0.1")
    service = serve(migrated_database, command=command, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    exchange(service.port, request(b"/" + CANARY.encode() + b"?email=" + EMAIL.encode(), headers=upgrade + key))
    service.stop()

    assert '… - "…" 403' in [line["event"] for line in json_lines(service)]
    assert CANARY not in service.log


def test_lines_of_the_schema_say_both_revisions(migrated_database: Database, serve: Serve) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database, TASKMANAGER_LOG_FORMAT="json")
        service.wait_for("/tasks", 200)
        proxy.cut()
        service.wait_for("/health", 503)
        proxy.restore()
        service.wait_for("/health", 200)
        service.stop()

    lines = [line for line in json_lines(service) if line["logger"] == "migration_gate.watch"]
    assert len(lines) > 2
    for line in lines:
        assert line["code"] in {"current", "unreachable"}
        assert line["code_heads"]
    assert all(line["database_revisions"] == line["code_heads"] for line in lines if line["code"] == "current")


def test_probes_are_logged_for_those_who_debug_alone(migrated_database: Database, serve: Serve) -> None:
    for level, logged in (("info", False), ("debug", True)):
        service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json", TASKMANAGER_LOG_LEVEL=level)
        service.wait_for("/health", 200)
        service.get("/tasks")
        service.stop()
        routes = {line.get("http.route") for line in json_lines(service) if line["event"] == "request"}
        assert "/tasks" in routes
        assert ("/health" in routes) == logged


def test_in_development_a_line_is_text_for_people(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    service.stop()

    assert "service starts" in service.log
    assert not [line for line in service.log.splitlines() if line.startswith("{")]
    # Not a terminal: no colours for whoever reads the file.
    assert "\x1b[" not in service.log
