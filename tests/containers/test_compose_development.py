"""docker-compose.yml as it stands, on a real engine, by both generations of compose: all of it but Grafana."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import yaml

from migration_gate.expected import read_lock
from tests import plain_http
from tests.containers.compose_project import (
    EVERYTHING,
    GENERATIONS,
    MONITORING,
    ComposeProject,
    Generation,
    checkout,
    of_one_generation,
    wait_until,
)
from tests.containers.engine import Engine
from tests.processes import ROOT
from tests.prometheus_api import PrometheusApi

API = "http://127.0.0.1:8000"
RECEIVER = "http://127.0.0.1:9095"
LOCK = ROOT / "alembic" / "revisions.lock"
STAYING = tuple(name for name in EVERYTHING if name != "migrate")
KEY = {"Authorization": f"Bearer {(ROOT / 'ops/development/incidents_key').read_text().strip()}"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=GENERATIONS)
def project(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeProject]:
    generation: Generation = request.param
    project = ComposeProject(engine, generation, checkout(tmp_path_factory.mktemp("checkout")))
    try:
        project.up(*EVERYTHING)
        yield project
    finally:
        project.down()


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusApi]:
    api = PrometheusApi("http://127.0.0.1:9090")
    yield api
    api.close()


def test_everything_becomes_healthy_and_the_migration_ends_well(project: ComposeProject) -> None:
    project.wait_until_healthy(*STAYING)
    assert project.container("migrate").wait_for_end() == 0
    assert plain_http.get(f"{API}/health").json()["status"] == "ok"


def test_the_requests_of_the_brief_work(project: ComposeProject) -> None:
    project.wait_until_healthy("app")
    assert plain_http.get(f"{API}/health").status_code == 200
    made = plain_http.post(f"{API}/tasks", json={"title": "Ma première tâche", "description": "Test de l'API"})
    assert made.status_code == 201, made.text
    assert made.json()["id"] in [task["id"] for task in plain_http.get(f"{API}/tasks").json()]
    assert "http_requests_total" in plain_http.get(f"{API}/metrics").text


def test_the_commands_of_the_brief_work(project: ComposeProject) -> None:
    project.wait_until_healthy("app", "db")
    assert project.container("migrate").wait_for_end() == 0

    assert "taskmanager-api" in project.run("ps").stdout
    assert "service starts" in project.run("logs", "app").stdout
    said = project.engine.run("logs", "taskmanager-api")
    assert "service starts" in said.stdout + said.stderr
    assert project.exec("app", "bash", "-c", "id -un; pwd").stdout.split() == ["taskmanager", "/app"]
    # It asks for the password, here on its standard input.
    query = "password\nSELECT count(*) FROM alembic_version;\n"
    psql = project.exec("app", "psql", "-h", "db", "-U", "user", "-d", "taskmanager", "--tuples-only", stdin=query)
    assert psql.stdout.split() == ["1"], psql.stderr
    assert project.exec("app", "alembic", "current").stdout.split()[0] in read_lock(LOCK).heads
    assert project.exec("app", "taskmanager", "status").stdout.startswith("current: traffic may flow")


def test_a_container_of_the_services_name_is_not_there(project: ComposeProject) -> None:
    """Why the documents say `docker-compose exec app bash` and not, with the brief, `docker exec -it app bash`."""
    done = project.engine.run("exec", "app", "true", check=False)
    assert done.returncode == 1
    assert "No such container: app" in done.stderr
    assert project.engine.run("exec", "taskmanager-api", "true").returncode == 0


def test_the_log_is_followed(project: ComposeProject) -> None:
    project.wait_until_healthy("app")
    with project.start("logs", "-f", "--tail", "0", "app") as following:
        lines: list[str] = []
        reading = threading.Thread(target=lambda: lines.extend(following.stdout or ()), daemon=True)
        reading.start()

        def is_told() -> bool:
            # Again each time: it follows from the moment on at which it has found the container.
            plain_http.get(f"{API}/tasks/1")
            return any("http.route=/tasks/{id}" in line for line in list(lines))

        try:
            wait_until(is_told, "a request is in what is followed", 60)
            assert following.poll() is None, "logs -f ended by itself"
        finally:
            following.kill()
            reading.join(timeout=10)


def test_prometheus_has_every_target(project: ComposeProject, prometheus: PrometheusApi) -> None:
    project.wait_until_healthy("prometheus", *MONITORING)
    wait_until(prometheus.targets_up, "every target answers")
    up = {series["metric"]["job"] for series in prometheus.now("up == 1")}
    assert up == {"taskmanager", "incidents", "prometheus", "alertmanager", "postgres-exporter", "backup"}
    assert prometheus.now('pg_up{job="postgres-exporter"} == 1')
    wait_until(lambda: bool(prometheus.now("taskmanager_backup_last_verified_timestamp_seconds > 0")), "a backup")


@of_one_generation
def test_the_consoles_and_the_rules_are_there(project: ComposeProject, prometheus: PrometheusApi) -> None:
    project.wait_until_healthy("prometheus")
    assert "State of the service" in plain_http.get("http://127.0.0.1:9090/consoles/taskmanager.html").text
    loaded = {group["name"] for group in plain_http.get("http://127.0.0.1:9090/api/v1/rules").json()["data"]["groups"]}
    written = [yaml.safe_load(file.read_text())["groups"] for file in (ROOT / "ops/prometheus/rules").glob("*.yml")]
    assert loaded == {group["name"] for groups in written for group in groups}


@of_one_generation
def test_a_backup_can_be_asked_for_and_is_proven(project: ComposeProject) -> None:
    project.wait_until_healthy("backup", "db")
    assert project.container("migrate").wait_for_end() == 0
    taken = json.loads(project.exec("backup", "taskmanager", "backup", "--json").stdout)
    assert taken["verification"]["outcome"] == "verified", taken


@of_one_generation
def test_an_alert_reaches_the_receiver_and_its_end_too(project: ComposeProject, prometheus: PrometheusApi) -> None:
    project.wait_until_healthy(*STAYING)
    wait_until(lambda: not _open_incidents(), "no incident is open")
    project.run("stop", "db")
    try:
        wait_until(lambda: "unreachable" in _open_incidents(), "the receiver knows that the database is gone", 60)
    finally:
        project.run("start", "db")
    wait_until(lambda: not _open_incidents(), "the incident is over")


def _open_incidents() -> set[str]:
    answer = plain_http.get(f"{RECEIVER}/incidents", params={"state": "open"}, headers=KEY)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return {incident["code"] for incident in (found["incidents"] if isinstance(found, dict) else found)}


@of_one_generation
def test_the_receiver_answers_nobody_without_its_key(project: ComposeProject) -> None:
    project.wait_until_healthy("incidents")
    assert plain_http.get(f"{RECEIVER}/incidents").status_code == 401
    assert "ID" in project.exec("incidents", "taskmanager", "incidents", "list", "--state", "all").stdout


@of_one_generation
@pytest.mark.parametrize("service", STAYING)
def test_a_container_that_is_killed_comes_back(project: ComposeProject, service: str) -> None:
    project.wait_until_healthy(service)
    before = project.inspect(service)
    project.end_process(service)
    wait_until(lambda: project.inspect(service)["RestartCount"] > before["RestartCount"], f"{service} is started again")
    project.wait_until_healthy(service)
    if service == "app":
        wait_until(lambda: plain_http.get(f"{API}/tasks").status_code == 200, "the service serves")


@pytest.mark.parametrize("service", EVERYTHING)
def test_bounds_and_confinement_are_the_engines_too(project: ComposeProject, service: str) -> None:
    found = project.inspect(service)
    host = found["HostConfig"]

    assert host["Memory"] > 0
    assert host["NanoCpus"] == 1_000_000_000
    assert host["PidsLimit"] == 200
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert all(
        binding["HostIp"] == "127.0.0.1" for bindings in (host["PortBindings"] or {}).values() for binding in bindings
    )
    if service != "db":
        assert found["Config"]["User"] not in ("", "0", "root")


@of_one_generation
def test_the_migration_runs_again_and_finds_nothing_to_do(project: ComposeProject) -> None:
    project.up("migrate")
    assert project.container("migrate").wait_for_end() == 0
