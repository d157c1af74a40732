"""The service's image: its defaults, its user, its root, its roles, its health, and what it says to wrong settings."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

from migration_gate.expected import LOCK_NAME, read_lock
from tests.containers.conftest import ContainerDatabase
from tests.containers.containers import Containers
from tests.containers.engine import Engine
from tests.containers.prepare import IMAGE
from tests.processes import ROOT, run

LOCKED_DOWN = (
    "--read-only",
    *("--tmpfs", "/tmp"),  # noqa: S108
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)


def test_it_is_production_with_keys_and_migrates_at_its_start(
    containers: Containers, database: ContainerDatabase, socket_volume: str, tmp_path: Path
) -> None:
    made = run(sys.executable, "-m", "taskmanager", "keys", "new", "--file", str(tmp_path / "keys"))
    key = next(word for word in made.stdout.split() if word.startswith("tm_"))
    variables = {
        "DATABASE_URL": database.socket_url,
        "TASKMANAGER_KEYS": ";".join(
            line for line in (tmp_path / "keys").read_text().splitlines() if line and not line.startswith("#")
        ),
    }
    volume = ("--volume", f"{socket_volume}:/var/run/postgresql")
    container = containers.start(IMAGE, environment=variables, options=volume)

    assert container.wait_for("/tasks", 200, headers={"Authorization": f"Bearer {key}"}).json() == []
    assert container.get("/tasks").status_code == 401
    for line in container.logs.splitlines():
        assert json.loads(line)["timestamp"], "in production each line is a JSON object, those of start.sh too"


def test_it_serves_with_a_root_that_cannot_be_written_and_no_capability(
    containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(IMAGE, environment=database.development, options=LOCKED_DOWN)

    container.wait_for("/tasks", 200)
    assert container.post("/tasks", json={"title": "kept"}).status_code == 201
    assert "Read-only file system" in container.exec("touch", "/app/x", check=False).stderr
    status = container.exec("cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_first_process_is_the_service_itself_and_not_root(
    containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(IMAGE, environment=database.development)
    container.wait_for("/livez", 200)

    command = container.exec("cat", "/proc/1/cmdline").stdout.split("\0")
    assert "python" in command[0]
    assert command[2:4] == ["serve", "--host"]
    assert "Uid:\t10001\t10001\t10001\t10001" in container.exec("cat", "/proc/1/status").stdout


@pytest.mark.parametrize("path", ["/app", "/app/taskmanager", "/opt/venv/bin", "/opt/venv", "/usr/lib/postgresql"])
def test_its_user_cannot_change_what_it_runs(containers: Containers, path: str) -> None:
    assert containers.run(IMAGE, "test", "-w", path).returncode == 1


def test_nothing_to_build_with_is_in_it(containers: Containers) -> None:
    for tool in ("gcc", "cc", "make", "ld"):
        assert containers.run(IMAGE, "sh", "-c", f"command -v {tool}").returncode != 0, tool
    assert containers.run(IMAGE, "python", "-c", "import pip").returncode == 1


def test_its_code_is_compiled_so_that_a_start_compiles_nothing(containers: Containers) -> None:
    program = (
        "import pathlib, sys, importlib.util as u;"
        "files = [f for root in ('/app/taskmanager', '/app/migration_gate', sys.prefix)"
        " for f in pathlib.Path(root).rglob('*.py')];"
        "print(len(files), [str(f) for f in files if not pathlib.Path(u.cache_from_source(str(f))).is_file()])"
    )
    count, _, missing = containers.run(IMAGE, "python", "-c", program).stdout.strip().partition(" ")
    assert int(count) > 1000
    assert missing == "[]"


def test_three_replicas_that_start_at_once_migrate_once(containers: Containers, database: ContainerDatabase) -> None:
    replicas = [containers.create(IMAGE, environment=database.development) for _ in range(3)]
    containers.start_at_once(*replicas)

    for replica in replicas:
        assert replica.wait_for("/tasks", 200).json() == []

    applied = database.execute("SELECT revision, action FROM migration_gate_revision ORDER BY id")
    code = read_lock(ROOT / "alembic" / LOCK_NAME)
    assert applied == [(revision, "upgrade") for revision in code.revisions]
    assert database.execute("SELECT count(*) FROM migration_gate_run WHERE result <> 'running'") == [(1,)]


def test_health_follows_the_schema(containers: Containers, database: ContainerDatabase) -> None:
    often = ("--health-interval", "0.5s", "--health-retries", "1", "--health-start-period", "1ms")
    variables = {**database.development, "TASKMANAGER_MIGRATE": "never"}
    container = containers.start(IMAGE, environment=variables, options=often)

    container.wait_for_health("unhealthy", "/readyz on port 8000: HTTP/1.1 503 Service Unavailable")

    container.exec("alembic", "upgrade", "head")
    container.wait_for_health("healthy", "/readyz on port 8000: HTTP/1.1 200 OK")


def test_the_role_migrate_applies_the_migrations_and_ends(containers: Containers, database: ContainerDatabase) -> None:
    done = containers.run(IMAGE, "migrate", environment=database.development)
    assert done.returncode == 0, done.stderr

    variables = {**database.development, "TASKMANAGER_MIGRATE": "never"}
    assert containers.start(IMAGE, environment=variables).wait_for("/tasks", 200).json() == []


def test_the_role_incidents_keeps_its_journal_on_a_volume(
    engine: Engine, containers: Containers, database: ContainerDatabase
) -> None:
    volume = engine.output("volume", "create")
    options = (
        *LOCKED_DOWN,
        *("--volume", f"{volume}:/var/lib/taskmanager/incidents"),
        *("--health-interval", "0.5s"),
    )
    variables = {"TASKMANAGER_INCIDENTS_KEY": "k" * 64}
    try:
        first = containers.start(IMAGE, "incidents", environment=variables, options=options, port=9095)
        first.wait_for_health("healthy", "/livez on port 9095: HTTP/1.1 200 OK")
        first.exec("taskmanager", "incidents", "deployment", "--version", "1.4.0", "--by", "on-call")
        first.stop()

        second = containers.start(IMAGE, "incidents", environment=variables, options=options, port=9095)
        second.wait_for("/livez", 200)
        assert "1.4.0" in second.exec("cat", "/var/lib/taskmanager/incidents/journal.jsonl").stdout
    finally:
        containers.remove()
        engine.run("volume", "rm", volume)


def test_the_role_backup_backs_up_at_once_and_tells_of_it(
    engine: Engine, containers: Containers, database: ContainerDatabase
) -> None:
    containers.run(IMAGE, "migrate", environment=database.development)
    volume = engine.output("volume", "create")
    options = (*LOCKED_DOWN, "--volume", f"{volume}:/var/lib/taskmanager/backups", "--health-interval", "0.5s")
    try:
        container = containers.start(IMAGE, "backup", environment=database.development, options=options, port=9096)
        container.wait_for_health("healthy", "/livez on port 9096: HTTP/1.0 200 OK")

        deadline = time.monotonic() + 120
        while "taskmanager_backups_kept 1.0" not in (told := container.get("/metrics").text):
            assert time.monotonic() < deadline, told + container.logs
            time.sleep(0.1)
        listed = json.loads(container.exec("taskmanager", "backups", "--json").stdout)
        assert len(listed) == 1
        container.stop()
        assert container.state["ExitCode"] == 0
    finally:
        containers.remove()
        engine.run("volume", "rm", volume)


def test_any_other_command_runs_as_it_stands(containers: Containers, database: ContainerDatabase) -> None:
    environment = database.development
    assert "never_migrated" in containers.run(IMAGE, "taskmanager", "status", "--json", environment=environment).stdout
    assert containers.run(IMAGE, "migration-gate", "--version").returncode == 0
    assert containers.run(IMAGE, "bash", "-c", "echo $((40 + 2))").stdout == "42\n"
    assert containers.run(IMAGE, "alembic", "upgrade", "head", environment=environment).returncode == 0
    assert "(head)" in containers.run(IMAGE, "alembic", "current", environment=environment).stdout
    counted = containers.run(IMAGE, "psql", database.url, "-Atc", "SELECT count(*) FROM tasks")
    assert counted.stdout == "0\n", counted.stderr


def test_its_client_tools_are_of_the_server_s_major_version(
    containers: Containers, database: ContainerDatabase
) -> None:
    containers.run(IMAGE, "migrate", environment=database.development)
    [(number,)] = database.execute("SELECT current_setting('server_version_num')::int / 10000")
    for tool in ("pg_dump", "pg_restore", "psql"):
        assert f"(PostgreSQL) {number}." in containers.run(IMAGE, tool, "--version").stdout
    dump = containers.run(IMAGE, "pg_dump", "--format", "plain", database.url)
    assert "CREATE TABLE public.tasks" in dump.stdout, dump.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "DATABASE_URL: no database is named"),
        ({"DATABASE_URL": "postgresql://user:password@db/taskmanager"}, "the password is one that everybody knows"),
        ({"DATABASE_URL": "postgresql://u:7yNqsg2x@db/t"}, "append sslmode=verify-full"),
        (
            {"DATABASE_URL": "postgresql://u:7yNqsg2x@db/t?sslmode=require"},
            "TASKMANAGER_KEYS_FILE: no API key is named",
        ),
        ({"TASKMANAGER_MIGRATE": "sometimes"}, "TASKMANAGER_MIGRATE: "),
        ({"TASKMANAGER_MIGRATION": "never"}, "TASKMANAGER_MIGRATION: no such setting"),
    ],
    ids=["no database", "known password", "no TLS", "no keys", "value", "name"],
)
def test_settings_that_cannot_be_used_end_it_with_78_and_the_reason(
    containers: Containers, variables: dict[str, str], said: str
) -> None:
    done = containers.run(IMAGE, environment=variables)

    assert done.returncode == 78, done.stdout + done.stderr
    assert said in done.stderr
    assert "7yNqsg2x" not in done.stdout + done.stderr


def test_what_is_neither_a_role_nor_a_command_is_told_with_the_roles(containers: Containers) -> None:
    done = containers.run(IMAGE, "server")

    assert done.returncode == 127
    assert "the roles are serve, migrate, incidents and backup" in done.stderr


def test_it_says_what_it_is(engine: Engine) -> None:
    labels = json.loads(engine.output("image", "inspect", "--format", "{{json .Config.Labels}}", IMAGE))

    assert labels["org.opencontainers.image.title"] == "taskmanager-api"
    commit = labels["org.opencontainers.image.revision"]
    assert re.fullmatch("[0-9a-f]{7,40}", commit)
    assert f"TASKMANAGER_COMMIT={commit}" in engine.output("image", "inspect", "--format", "{{.Config.Env}}", IMAGE)
    assert engine.output("image", "inspect", "--format", "{{.Config.User}}", IMAGE) == "10001:10001"
