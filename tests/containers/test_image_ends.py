"""How the service's container ends: told to, under load; and killed, with a policy that starts it again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest

from taskmanager.cli import INTERRUPTED
from tests import plain_http
from tests.containers.conftest import ContainerDatabase
from tests.containers.containers import Container, Containers
from tests.containers.engine import Engine
from tests.containers.prepare import IMAGE

CLIENTS = 6
BEFORE_THE_END = 200


@dataclass
class Load:
    """Clients that create tasks one after the other, and turn away when an answer says that the connection closes."""

    url: str
    created: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def run(self) -> None:
        with plain_http.Client(base_url=self.url, timeout=15) as client:
            while True:
                try:
                    answer = client.post("/tasks", json={"title": "counted"})
                except httpx.TransportError as error:
                    self.lost.append(repr(error))
                    return
                if answer.status_code == 201:
                    self.created.append(answer.json()["id"])
                else:
                    self.refused.append(answer.status_code)
                if answer.headers.get("connection") == "close":
                    return

    def start(self, count: int) -> list[threading.Thread]:
        clients = [threading.Thread(target=self.run) for _ in range(count)]
        for client in clients:
            client.start()
        return clients


def test_sigterm_under_load_ends_within_ten_seconds_and_loses_no_request(
    containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(IMAGE, environment=database.development)
    container.wait_for("/tasks", 200)
    load = Load(container.url)
    clients = load.start(CLIENTS)
    _wait_for_tasks(load, container)

    container.stop()
    for client in clients:
        client.join(timeout=20)

    assert container.state["ExitCode"] == 0, "not 137: it ended by itself within the ten seconds"
    assert (load.lost, load.refused) == ([], [])
    assert database.execute("SELECT array_agg(id ORDER BY id) FROM tasks") == [(sorted(load.created),)]


@pytest.mark.parametrize("role", ["serve", "incidents"])
def test_docker_stop_ends_each_role_at_once(containers: Containers, database: ContainerDatabase, role: str) -> None:
    port = {"serve": 8000, "incidents": 9095}[role]
    variables = {**database.development, "TASKMANAGER_INCIDENTS_KEY": "k" * 64}
    container = containers.start(IMAGE, role, environment=variables, port=port)
    container.wait_for("/livez", 200)

    container.stop()
    assert container.state["ExitCode"] == 0


def test_docker_stop_ends_a_migration_that_waits(containers: Containers, database: ContainerDatabase) -> None:
    containers.run(IMAGE, "alembic", "upgrade", "+1", environment=database.development)
    with psycopg.connect(database.outside_url) as blocker:
        blocker.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        container = containers.start(IMAGE, "migrate", environment=database.development, port=None)
        _wait_until_somebody_waits_for_a_lock(database)

        container.stop()

    assert container.state["ExitCode"] == INTERRUPTED, container.logs
    assert database.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == [(0,)]


def test_a_killed_container_comes_back_with_what_it_acknowledged(
    engine: Engine, containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(IMAGE, environment=database.development, options=("--restart", "unless-stopped"))
    container.wait_for("/tasks", 200)
    load = Load(container.url)
    clients = load.start(CLIENTS)
    _wait_for_tasks(load, container)

    _kill(engine, container)
    for client in clients:
        client.join(timeout=20)

    assert load.lost, "nobody was cut off, so it was not killed under load"
    container.wait_for("/tasks", 200)
    assert engine.output("inspect", "--format", "{{.RestartCount}}", container.identity) == "1"
    assert set(load.created) <= {row[0] for row in database.execute("SELECT id FROM tasks")}


def _wait_for_tasks(load: Load, container: Container) -> None:
    deadline = time.monotonic() + 60
    while len(load.created) < BEFORE_THE_END:
        assert time.monotonic() < deadline, container.logs
        assert not load.lost, load.lost
        time.sleep(0.01)


def _kill(engine: Engine, container: Container) -> None:
    """SIGKILL from outside the container: `docker kill` counts as a stop, after which no policy starts it again."""
    pid = str(container.state["Pid"])
    engine.run("run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "sh", IMAGE, "-c", f"kill -9 {pid}")


def _wait_until_somebody_waits_for_a_lock(database: ContainerDatabase) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(1000):
        if database.execute(query) != [(0,)]:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits for the lock")
