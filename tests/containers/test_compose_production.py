"""The overlay for production on a real engine: TLS to PostgreSQL 15, secrets from files, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
from tests.containers.prepare import WITH_TLS
from tests.processes import ROOT, run
from tests.prometheus_api import PrometheusApi

API = "http://127.0.0.1:8000"
FILES = (
    "docker-compose.yml",
    "docker/compose.production.yml",
    # By its whole path: it is no part of what is delivered.
    str(ROOT / "tests" / "containers" / "compose_postgres_15.yml"),
)
STAYING = tuple(name for name in EVERYTHING if name != "migrate")
UNSAFE = 78

pytestmark = pytest.mark.timeout(600)


def with_secrets(folder: Path) -> Path:
    """A checkout in which somebody has made the secrets and the certificates, by the two commands of the documents."""
    checkout(folder)
    for script in ("docker/new-secrets.sh", "docker/certs.sh"):
        done = run("sh", script, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def production(engine: Engine, generation: Generation, folder: Path) -> ComposeProject:
    return ComposeProject(engine, generation, folder, FILES, {"TASKMANAGER_IMAGE": WITH_TLS})


@pytest.fixture(scope="module", params=GENERATIONS)
def project(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeProject]:
    project = production(engine, request.param, with_secrets(tmp_path_factory.mktemp("production")))
    try:
        project.up(*EVERYTHING)
        yield project
    finally:
        project.down()


def secret(project: ComposeProject, name: str) -> str:
    return (project.folder / "docker" / "secrets" / name).read_text().strip()


def test_everything_becomes_healthy_and_the_migration_ends_well(project: ComposeProject) -> None:
    assert project.container("migrate").wait_for_end(120) == 0
    project.wait_until_healthy(*STAYING)


def test_nobody_is_served_without_a_key(project: ComposeProject) -> None:
    project.wait_until_healthy("app")
    assert plain_http.get(f"{API}/tasks").status_code == 401
    assert plain_http.get(f"{API}/metrics").status_code == 401
    mine = {"Authorization": f"Bearer {secret(project, 'admin_key')}"}
    assert plain_http.post(f"{API}/tasks", json={"title": "Prod"}, headers=mine).status_code == 201
    assert plain_http.get(f"{API}/metrics", headers=mine).status_code == 403


@of_one_generation
def test_prometheus_has_every_target_by_its_keys(project: ComposeProject) -> None:
    project.wait_until_healthy("app", "prometheus", *MONITORING)
    prometheus = PrometheusApi("http://127.0.0.1:9090")
    try:
        wait_until(prometheus.targets_up, "every target answers")
        assert {series["metric"]["env"] for series in prometheus.now("up")} == {"production"}
        assert prometheus.now('pg_up{job="postgres-exporter"} == 1')
    finally:
        prometheus.close()


def test_whoever_comes_by_the_network_has_tls_and_a_role_of_its_own(project: ComposeProject) -> None:
    project.wait_until_healthy("app", "db", "postgres-exporter")
    sessions = """SELECT DISTINCT usename, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                  WHERE client_addr IS NOT NULL ORDER BY 1"""
    asking = ("exec", "-T", "--user", "postgres", "db", "psql", "--no-align", "--tuples-only", "taskmanager")

    def found() -> list[str]:
        return project.run(*asking, stdin=sessions).stdout.split()

    wait_until(lambda: found() == ["taskmanager_app|t", "taskmanager_monitor|t"], "both are there, by TLS")


@of_one_generation
def test_nobody_is_let_in_without_tls_nor_the_superuser_by_the_network(project: ComposeProject) -> None:
    project.wait_until_healthy("db")
    for user, mode, told in (
        ("taskmanager_app", "disable", "no encryption"),
        ("postgres", "require", "no pg_hba.conf entry"),
    ):
        address = f"host=db user={user} dbname=taskmanager sslmode={mode} password=whatever"
        done = project.exec("app", "psql", address, "-c", "SELECT 1", check=False)
        assert done.returncode == 2
        assert told in done.stderr


@of_one_generation
def test_a_backup_is_taken_by_tls_and_proven(project: ComposeProject) -> None:
    assert project.container("migrate").wait_for_end(120) == 0
    project.wait_until_healthy("backup")
    assert project.exec("backup", "taskmanager", "backup").returncode == 0


@of_one_generation
def test_no_secret_is_in_a_variable_or_a_log(project: ComposeProject) -> None:
    folder = project.folder / "docker" / "secrets"
    values = {file.read_text().strip() for file in folder.iterdir() if file.is_file()}
    assert len(values) > 10
    shown = project.run("logs").stdout + "".join(f"{project.inspect(service)}" for service in EVERYTHING)
    assert [value for value in values if value in shown] == []


def _known_password_of(role: str) -> Callable[[Path], None]:
    return lambda secrets: (secrets / role).write_text("password\n")


def _known_address(secrets: Path) -> None:
    url = "postgresql://taskmanager_app:password@db:5432/taskmanager?sslmode=require"
    (secrets / "database_url").write_text(f"{url}\n")


def _plain_address(secrets: Path) -> None:
    own = (secrets / "database_url").read_text().partition("?")[0]
    (secrets / "database_url").write_text(f"{own}\n")


def _known_incidents_key(secrets: Path) -> None:
    shutil_source = ROOT / "ops" / "development" / "incidents_key"
    (secrets / "incidents_key").write_text(shutil_source.read_text())


def _no_keys(secrets: Path) -> None:
    (secrets / "api" / "keys").write_text("")


@pytest.mark.parametrize(
    ("service", "spoil", "told"),
    [
        ("db", _known_password_of("app_password"), "the password in /run/secrets/app_password is one that everybody"),
        ("db", _known_password_of("postgres_password"), "POSTGRES_PASSWORD_FILE: the password in"),
        ("app", _known_address, "DATABASE_URL: the password is one that everybody knows"),
        ("app", _plain_address, "does not demand TLS, and the database is not on this machine"),
        ("app", _no_keys, "TASKMANAGER_KEYS_FILE"),
        ("incidents", _known_incidents_key, "the key is the one for development, which everybody knows"),
    ],
    ids=["application", "superuser", "address", "plain-text", "no-keys", "receiver"],
)
def test_what_everybody_knows_is_refused(
    engine: Engine,
    service: str,
    spoil: Callable[[Path], None],
    told: str,
    tmp_path: Path,
) -> None:
    project = production(engine, GENERATIONS[0], with_secrets(tmp_path))
    spoil(tmp_path / "docker" / "secrets")
    try:
        done: subprocess.CompletedProcess[str] = project.run("run", "--rm", "--no-deps", "-T", service, check=False)
        assert done.returncode == UNSAFE, done.stdout + done.stderr
        assert told in done.stdout + done.stderr
    finally:
        project.down()
