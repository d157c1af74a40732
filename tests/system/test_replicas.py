"""Many processes on one database, and processes that die."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import httpx
import psycopg

from migration_gate.expected import LOCK_NAME, read_lock
from tests import plain_http
from tests.databases import Database
from tests.processes import ROOT, Service

Serve = Callable[..., Service]

REPLICAS = 8


def test_eight_replicas_that_start_at_once_all_serve_and_each_migration_runs_once(
    empty_database: Database, serve: Serve
) -> None:
    services = [serve(empty_database, TASKMANAGER_MIGRATE="on_start") for _ in range(REPLICAS)]

    for service in services:
        assert service.wait_for("/tasks", 200, within_s=60).json() == []

    applied = empty_database.execute("SELECT revision, action FROM migration_gate_revision ORDER BY id")
    code = read_lock(ROOT / "alembic" / LOCK_NAME)
    assert applied == [(revision, "upgrade") for revision in code.revisions]
    # One run did it all; the others found nothing left to do.
    while (runs := empty_database.execute("SELECT result FROM migration_gate_run")) == [("running",)]:
        time.sleep(0.02)
    assert runs == [("succeeded",)]


def test_a_killed_server_loses_no_task_that_it_acknowledged(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    acknowledged: list[int] = []

    def write() -> None:
        with plain_http.Client(base_url=service.url, timeout=5) as client:
            while True:
                try:
                    response = client.post("/tasks", json={"title": "kept"})
                except httpx.TransportError:
                    return
                assert response.status_code == 201
                acknowledged.append(response.json()["id"])

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 20
    while len(acknowledged) < 50:
        assert time.monotonic() < deadline, service.log
        time.sleep(0.01)
    service.stop(signal.SIGKILL)
    for writer in writers:
        writer.join(timeout=10)

    successor = serve(migrated_database)
    successor.wait_for("/tasks", 200)
    stored = {row[0] for row in migrated_database.execute("SELECT id FROM tasks")}
    assert set(acknowledged) <= stored
    assert successor.get(f"/tasks/{acknowledged[-1]}").status_code == 200


def test_sigterm_lets_a_request_in_flight_finish(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    answers: list[int] = []

    with psycopg.connect(migrated_database.migrator_url) as blocker:
        blocker.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        request = threading.Thread(target=lambda: answers.append(service.get("/tasks").status_code))
        request.start()
        _wait_until_somebody_waits_for_a_lock(migrated_database)
        service.process.send_signal(signal.SIGTERM)
        blocker.rollback()
        request.join(timeout=10)

    assert answers == [200]
    assert service.process.wait(timeout=10) in {0, -signal.SIGTERM}


def _wait_until_somebody_waits_for_a_lock(database: Database) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'taskmanager' AND wait_event_type = 'Lock'"
    )
    # The superuser, since a role is not told what other roles wait for.
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for _ in range(200):
            if admin.execute(query).fetchone() != (0,):
                return
            time.sleep(0.02)
    raise AssertionError("no request waits for the lock")
