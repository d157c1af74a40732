"""Production as an operator runs it: a file of keys, a key made by the command, and one replaced under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import Service, run

Serve = Callable[..., Service]


def new_key(file: Path, *scopes: str) -> str:
    options = [word for scope in scopes for word in ("--scope", scope)]
    done = run(sys.executable, "-m", "taskmanager", "keys", "new", "--file", str(file), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def status(service: Service, path: str, key: str | None = None, method: str = "GET") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return service.request(method, path, headers=headers).status_code


def test_who_has_no_key_gets_probes_and_nothing_else(migrated_database: Database, serve: Serve, file: Path) -> None:
    reader, scraper = new_key(file, "tasks:read"), new_key(file, "metrics:read")
    service = serve(migrated_database, TASKMANAGER_ENV="production", TASKMANAGER_KEYS_FILE=str(file))
    service.wait_for("/readyz", 200)

    assert {path: status(service, path) for path in ("/livez", "/readyz", "/health", "/version")} == {
        "/livez": 200, "/readyz": 200, "/health": 200, "/version": 200
    }  # fmt: skip
    assert {path: status(service, path) for path in ("/tasks", "/tasks/1", "/metrics", "/nothing")} == {
        "/tasks": 401, "/tasks/1": 401, "/metrics": 401, "/nothing": 401
    }  # fmt: skip
    assert {path: status(service, path, reader) for path in ("/tasks", "/metrics", "/docs", "/openapi.json")} == {
        "/tasks": 200, "/metrics": 403, "/docs": 404, "/openapi.json": 404
    }  # fmt: skip
    assert status(service, "/tasks/1", reader, "DELETE") == 403
    assert (status(service, "/metrics", scraper), status(service, "/tasks", scraper)) == (200, 403)

    refused = service.get("/tasks")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "unauthenticated"
    assert refused.headers["www-authenticate"] == 'Bearer realm="taskmanager"'
    assert not [key for key in (reader, scraper) if key.split("_", 2)[2] in service.log]


def test_a_key_is_replaced_while_requests_go_on(migrated_database: Database, serve: Serve, file: Path) -> None:
    old = new_key(file, "tasks:read")
    service = serve(migrated_database, TASKMANAGER_ENV="production", TASKMANAGER_KEYS_FILE=str(file))
    service.wait_for("/readyz", 200)
    assert status(service, "/tasks", old) == 200

    new = new_key(file, "tasks:read")
    _wait_until(lambda: status(service, "/tasks", new) == 200)
    assert status(service, "/tasks", old) == 200

    (of_old, of_new) = file.read_text().splitlines()
    assert of_old.split()[0] in old
    file.write_text(of_new)
    _wait_until(lambda: status(service, "/tasks", old) == 401)
    assert status(service, "/tasks", new) == 200


def _wait_until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_in_development_anybody_may_call_and_the_log_says_so(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    service.stop()

    (line,) = [line for line in service.log.splitlines() if "TASKMANAGER_AUTH=none" in line]
    assert "warning" in line
