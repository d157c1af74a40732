"""Settings that are not safe enough: the process ends with 78 and a line for each, and its port was never bound."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import run, run_alembic

CANARY = "pass-canary-4711"
A_KEY = f"k7m2p9qx {'0' * 64} tasks:read never"
SAFE = {
    "TASKMANAGER_ENV": "production",
    "TASKMANAGER_KEYS": A_KEY,
    "DATABASE_URL": f"postgresql://app:{CANARY}@127.0.0.1:1/tasks",
}
REMOTE = f"postgresql://migrator:{CANARY}@db.invalid/tasks"

SERVE = (sys.executable, "-m", "taskmanager", "serve", "--port")
UVICORN = (sys.executable, "-m", "uvicorn", "main:app", "--port")


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port on which somebody listens: who tries to bind it says so, and ends with another status."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


def refusal(command: tuple[str, ...], port: str, **variables: str) -> list[str]:
    done = run(*command, port, env=SAFE | {"HOME": "/nowhere"} | variables)
    assert done.returncode == 78, done.stdout + done.stderr
    assert done.stdout == ""
    assert CANARY not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]  # uvicorn's own
    assert all(line.startswith("taskmanager: ") for line in lines), done.stderr
    return [line.removeprefix("taskmanager: ") for line in lines]


VIOLATIONS = [
    ({"TASKMANAGER_AUTH": "none"}, "TASKMANAGER_AUTH: with none, anybody"),
    ({"TASKMANAGER_KEYS": ""}, "TASKMANAGER_KEYS_FILE: no API key is named"),
    ({"TASKMANAGER_KEYS": A_KEY.replace("never", "2020-01-31T00:00:00Z")}, "TASKMANAGER_KEYS: it holds no API key"),
    ({"TASKMANAGER_KEYS": CANARY}, "TASKMANAGER_KEYS: key 1: 1 columns"),
    ({"TASKMANAGER_KEYS_FILE": "/nowhere/keys"}, "TASKMANAGER_KEYS_FILE: /nowhere/keys cannot be read"),
    ({"DATABASE_URL": "postgresql://app:changeme@127.0.0.1:1/tasks"}, "DATABASE_URL: the password is one"),
    ({"DATABASE_URL": "postgresql://app:app@127.0.0.1:1/tasks"}, "DATABASE_URL: the password is the name"),
    ({"DATABASE_URL": "postgresql://app@127.0.0.1:1/tasks"}, "DATABASE_URL: the role has no password"),
    ({"MIGRATION_DATABASE_URL": "postgresql://o:postgres@127.0.0.1:1/t"}, "MIGRATION_DATABASE_URL: the password"),
    ({"DATABASE_URL": REMOTE}, "DATABASE_URL: does not demand TLS"),
    ({"MIGRATION_DATABASE_URL": f"{REMOTE}?sslmode=disable"}, "MIGRATION_DATABASE_URL: sslmode=disable"),
    ({"MIGRATION_DATABASE_URL": f"{REMOTE}?sslmode=prefer"}, "MIGRATION_DATABASE_URL: sslmode=prefer"),
    ({"TASKMANAGER_CORS_ORIGINS": "*"}, "TASKMANAGER_CORS_ORIGINS: with *, every web page"),
]


@pytest.mark.parametrize(("variables", "told"), VIOLATIONS)
def test_each_violation_ends_the_process_before_its_port_is_bound(
    taken_port: str, variables: dict[str, str], told: str
) -> None:
    (line,) = refusal(SERVE, taken_port, **variables)
    assert line.startswith(told)


@pytest.mark.parametrize("command", [SERVE, UVICORN], ids=["serve", "uvicorn"])
def test_all_violations_are_told_at_once_a_line_each(taken_port: str, command: tuple[str, ...]) -> None:
    lines = refusal(
        command,
        taken_port,
        TASKMANAGER_AUTH="none",
        TASKMANAGER_CORS_ORIGINS="*",
        DATABASE_URL="postgresql://app:app@db.invalid/tasks",
        MIGRATION_DATABASE_URL=REMOTE,
    )

    assert [line.split(":")[0] for line in lines] == [
        "TASKMANAGER_AUTH",
        "DATABASE_URL",
        "DATABASE_URL",
        "MIGRATION_DATABASE_URL",
        "TASKMANAGER_CORS_ORIGINS",
    ]


def test_keys_that_nobody_can_have_are_refused_in_development_too(taken_port: str) -> None:
    variables = {"TASKMANAGER_ENV": "development", "TASKMANAGER_AUTH": "api_key", "TASKMANAGER_KEYS": ""}
    (line,) = refusal(SERVE, taken_port, **variables)
    assert line.startswith("TASKMANAGER_KEYS_FILE: no API key is named")


def test_settings_that_are_safe_go_on_to_the_port(taken_port: str) -> None:
    done = run(*SERVE, taken_port, env=SAFE)

    assert done.returncode == 1
    assert "Address already in use" in done.stderr


def asked_in_production(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    unsafe = {"TASKMANAGER_ENV": "production", "TASKMANAGER_AUTH": "none", "TASKMANAGER_CORS_ORIGINS": "*"}
    return run(sys.executable, "-m", "taskmanager", *arguments, env=unsafe | variables)


def test_what_does_not_serve_is_not_refused(empty_database: Database, tmp_path: Path) -> None:
    urls = {"DATABASE_URL": empty_database.app_url, "MIGRATION_DATABASE_URL": empty_database.migrator_url}
    assert asked_in_production("migrate", **urls).returncode == 0
    assert asked_in_production("status", **urls).returncode == 0
    run_alembic("current", env=urls | {"TASKMANAGER_ENV": "production"})
    assert asked_in_production("keys", "list").returncode == 0


def test_a_migration_tells_of_an_unsafe_address_and_goes_on(empty_database: Database) -> None:
    user, _, host = empty_database.migrator_url.removeprefix("postgresql://").rpartition("@")
    unsafe = f"postgresql://{user.partition(':')[0]}:changeme@{host}"

    done = asked_in_production("migrate", DATABASE_URL=unsafe)

    # PostgreSQL refuses the password, so it was tried.
    assert done.returncode == 69, done.stderr
    assert "unsafe: DATABASE_URL: the password is one that everybody knows" in done.stderr
