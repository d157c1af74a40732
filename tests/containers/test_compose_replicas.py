"""Three replicas behind HAProxy on a real engine: each serves, and one that is killed costs no GET."""

from __future__ import annotations

import csv
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests import plain_http
from tests.containers.compose_project import (
    GENERATIONS,
    ComposeProject,
    checkout,
    of_one_generation,
    wait_until,
)
from tests.containers.engine import Engine
from tests.prometheus_api import PrometheusApi

API = "http://127.0.0.1:8000"
FILES = ("docker-compose.yml", "docker/compose.replicas.yml")
REPLICAS = ("app-1", "app-2", "app-3")
SERVICES = ("db", "migrate", *REPLICAS, "haproxy", "prometheus", "alertmanager", "incidents")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=GENERATIONS)
def project(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeProject]:
    project = ComposeProject(engine, request.param, checkout(tmp_path_factory.mktemp("replicas")), FILES)
    try:
        project.up(*SERVICES)
        yield project
    finally:
        project.run("rm", "--stop", "--force", "app-4", check=False)
        project.down()


@pytest.fixture
def ready(project: ComposeProject) -> ComposeProject:
    """All three replicas ready, as HAProxy sees them."""
    project.wait_until_healthy(*REPLICAS, "haproxy")
    wait_until(lambda: admitted(project) == set(REPLICAS), "HAProxy sends requests to all three")
    return project


def order(project: ComposeProject, words: str) -> str:
    """HAProxy's runtime API, as the documents type it."""
    return project.exec("haproxy", "nc", "127.0.0.1", "9999", stdin=f"{words}\n").stdout


def rows(project: ComposeProject) -> dict[str, dict[str, str]]:
    """By slot, the row of `show stat` of the backend that requests go to."""
    table = csv.DictReader(order(project, "show stat").lstrip("# ").splitlines())
    return {row["svname"]: row for row in table if row["pxname"] == "ready" and row["svname"].startswith("app-")}


def admitted(project: ComposeProject) -> set[str]:
    return {slot for slot, row in rows(project).items() if row["status"] == "UP"}


class Reading(threading.Thread):
    """Reads the list again and again, each time on a connection of its own, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self.answers[f"{plain_http.get(f'{API}/tasks', timeout=10).status_code}"] += 1
            except httpx.TransportError as error:
                self.answers[repr(error)] += 1

    def stop(self) -> Counter[str]:
        self._over.set()
        self.join(timeout=20)
        return self.answers


def test_each_of_the_three_serves(ready: ComposeProject) -> None:
    before = {slot: int(row["hrsp_2xx"]) for slot, row in rows(ready).items()}
    for _ in range(30):
        assert plain_http.get(f"{API}/tasks").status_code == 200
    served = {slot: int(row["hrsp_2xx"]) - before[slot] for slot, row in rows(ready).items()}

    assert all(served[slot] > 0 for slot in REPLICAS), served
    assert sum(served.values()) == 30
    assert ready.run("ps", "--quiet", "app", check=False).stdout.split() == []


def test_prometheus_has_each_replica_by_its_name(ready: ComposeProject) -> None:
    prometheus = PrometheusApi("http://127.0.0.1:9090")

    def instances() -> set[str]:
        return {series["metric"]["instance"] for series in prometheus.now('up{job="taskmanager", env!=""} == 1')}

    try:
        ready.wait_until_healthy("prometheus")
        wait_until(lambda: instances() == {f"{slot}:8000" for slot in REPLICAS}, "three targets that answer")
        wait_until(lambda: bool(prometheus.now('up{job="haproxy"} == 1')), "HAProxy answers")
        ready.up("app-4")
        wait_until(lambda: "app-4:8000" in instances(), "the fourth slot is a target")
        ready.run("rm", "--stop", "--force", "app-4")
        wait_until(lambda: "app-4:8000" not in instances(), "an empty slot is none, and not one that is down")
        assert not prometheus.now('ALERTS{alertname="ReplicaDown"}')
    finally:
        prometheus.close()


@of_one_generation
def test_a_replica_that_is_killed_costs_no_get_and_comes_back(ready: ComposeProject) -> None:
    readers = [Reading() for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for slot in REPLICAS:
            before = ready.inspect(slot)["RestartCount"]
            ready.end_process(slot)
            wait_until(lambda slot=slot, before=before: ready.inspect(slot)["RestartCount"] > before, "it is started")  # type: ignore[misc]
            wait_until(lambda: admitted(ready) == set(REPLICAS), "it serves again")
    finally:
        answers = sum((reader.stop() for reader in readers), Counter())
    assert answers.keys() == {"200"}, answers
    assert answers["200"] > 100


@of_one_generation
def test_a_slot_is_filled_and_another_one_emptied_without_a_lost_request(ready: ComposeProject) -> None:
    """What a rolling deployment does with each replica."""
    reader = Reading()
    reader.start()
    try:
        ready.up("app-4")
        wait_until(lambda: "app-4" in admitted(ready), "the fourth slot gets requests")
        for backend in ("ready", "alive"):
            assert order(ready, f"set server {backend}/app-1 state drain").strip() == ""
        wait_until(lambda: rows(ready)["app-1"]["scur"] == "0", "the first slot has no request left")
        ready.run("stop", "app-1")
        settled = int(rows(ready)["app-4"]["hrsp_2xx"])
        wait_until(lambda: int(rows(ready)["app-4"]["hrsp_2xx"]) > settled, "the fourth one goes on serving")
    finally:
        answers = reader.stop()
        ready.run("start", "app-1")
        for backend in ("ready", "alive"):
            order(ready, f"set server {backend}/app-1 state ready")
        ready.run("rm", "--stop", "--force", "app-4")
    assert answers.keys() == {"200"}, answers


@of_one_generation
def test_where_no_replica_is_ready_the_service_itself_says_why(ready: ComposeProject) -> None:
    ready.run("stop", "db")
    try:
        wait_until(lambda: admitted(ready) == set(), "none is ready")
        answer = plain_http.get(f"{API}/readyz")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
    finally:
        ready.run("start", "db")
    wait_until(lambda: admitted(ready) == set(REPLICAS), "all are")


@of_one_generation
def test_haproxys_log_has_no_address_and_no_query(ready: ComposeProject) -> None:
    # A request that cannot be read is one of those that are logged.
    began = time.time()
    plain_http.get(f"{API}/tasks?q=query-canary", headers={"X-Canary": "x" * 60_000})
    wait_until(lambda: '"event":"request"' in ready.run("logs", "haproxy").stdout, "a line of the log")
    log = ready.run("logs", "haproxy").stdout
    assert "canary" not in log
    assert time.time() > began
