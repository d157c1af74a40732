"""The command line: what each verb prints, and its exit status."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from tests.databases import Database
from tests.processes import ROOT, free_port, run

CANARY = "pass-canary-4711"
UNUSABLE_SETTINGS = 78


def taskmanager(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "taskmanager", *arguments, env=variables)


def urls(database: Database) -> Mapping[str, str]:
    return {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def test_help_shows_every_verb_and_examples() -> None:
    done = taskmanager("--help")

    assert done.returncode == 0
    for word in ("serve", "migrate", "status", "keys new", "examples:", "DATABASE_URL", "TASKMANAGER_MIGRATE=on_start"):
        assert word in done.stdout


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("serve", "--nothing"), ("serve", "--port", "x")])
def test_a_command_line_that_is_wrong_is_told_its_usage(arguments: tuple[str, ...]) -> None:
    done = taskmanager(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: taskmanager")


@pytest.mark.parametrize("verb", ["serve", "status"])
def test_without_a_database_it_says_how_to_name_one(verb: str) -> None:
    done = taskmanager(verb)

    assert done.returncode == UNUSABLE_SETTINGS
    line = one_line(done)
    assert line.startswith("taskmanager: DATABASE_URL: no database is named")
    assert "make run" in line


@pytest.mark.parametrize("verb", ["serve", "status", "migrate"])
def test_settings_that_cannot_be_used_have_an_exit_status_of_their_own(verb: str) -> None:
    done = taskmanager(verb, DATABASE_URL=f"mysql://u:{CANARY}@h/d")
    assert done.returncode == UNUSABLE_SETTINGS
    assert one_line(done).startswith("taskmanager: DATABASE_URL: ")
    assert CANARY not in done.stderr

    done = taskmanager(verb, DATABASE_URL="postgresql://u@h/d", TASKMANAGER_SCHEMAGATE="off")
    assert done.returncode == UNUSABLE_SETTINGS
    assert one_line(done).startswith("taskmanager: TASKMANAGER_SCHEMAGATE: no such setting")


def test_migrating_without_a_database_says_how_to_name_one() -> None:
    done = taskmanager("migrate")

    assert done.returncode == 78
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_one_line(migrated_database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = taskmanager("serve", "--port", port, **urls(migrated_database))

    assert done.returncode == 1
    expected = f"taskmanager: cannot listen on 127.0.0.1:{port}: Address already in use; choose another with --port"
    assert one_line(done) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "70000"), "0-65535"),
        (("--port", "-1"), "0-65535"),
        (("--host", "no-such-host.invalid"), "no-such-host.invalid"),
        (("--host", "x" * 70 + ".invalid"), "choose another with --host"),
        (("--host", "a..b"), "choose another with --host"),
        (("--host", "192.0.2.1"), "Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_one_line(
    migrated_database: Database, arguments: tuple[str, ...], words: str
) -> None:
    done = taskmanager("serve", "--port", "0", *arguments, **urls(migrated_database))

    assert done.returncode == 1
    line = one_line(done)
    assert words in line
    assert "Unknown error" not in line


def test_status_of_a_migrated_database(migrated_database: Database) -> None:
    text = taskmanager("status", **urls(migrated_database))
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout.startswith("current: traffic may flow\n")

    machine = taskmanager("status", "--json", **urls(migrated_database))
    assert (machine.returncode, machine.stderr) == (0, "")
    verdict = json.loads(machine.stdout)
    assert (verdict["state"], verdict["servable"]) == ("current", True)
    assert verdict["database_revisions"] == verdict["code_heads"]


def test_status_of_a_database_that_was_never_migrated(empty_database: Database) -> None:
    text = taskmanager("status", **urls(empty_database))
    assert (text.returncode, text.stderr) == (3, "")
    assert text.stdout.startswith("never_migrated: no traffic\n")
    assert "Solution:  alembic upgrade head" in text.stdout

    machine = taskmanager("status", "--json", **urls(empty_database))
    assert machine.returncode == 3
    assert json.loads(machine.stdout)["missing"]


def test_status_sees_what_the_applications_role_sees(migrated_database: Database) -> None:
    migrated_database.execute("REVOKE INSERT ON tasks FROM taskmanager_app")

    done = taskmanager("status", "--json", **urls(migrated_database))

    assert done.returncode == 3
    verdict = json.loads(done.stdout)
    assert verdict["state"] == "privileges_missing"
    assert "42501" in verdict["evidence"]


def test_status_of_a_database_that_does_not_answer() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://u:{CANARY}@127.0.0.1:{nobody.getsockname()[1]}/d"
        done = taskmanager("status", DATABASE_URL=url)

    assert done.returncode == 3
    assert done.stdout.startswith("unreachable: no traffic\n  nothing listens")
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_applies_what_is_missing_and_does_nothing_the_second_time(empty_database: Database) -> None:
    first = taskmanager("migrate", **urls(empty_database))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("current: traffic may flow\n")
    runs = empty_database.execute("SELECT count(*) FROM migration_gate_run")

    second = taskmanager("migrate", **urls(empty_database))
    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert empty_database.execute("SELECT count(*) FROM migration_gate_run") == runs
    assert taskmanager("status", **urls(empty_database)).returncode == 0


def test_migrate_logs_apart_from_its_answer_and_in_the_form_that_is_asked_for(empty_database: Database) -> None:
    done = taskmanager("migrate", TASKMANAGER_ENV="production", **urls(empty_database))

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert any(line["logger"].startswith("alembic") for line in lines)
    assert "current" in done.stdout


def test_a_migration_that_belongs_to_a_process_ends_with_it(empty_database: Database) -> None:
    with psycopg.connect(empty_database.migrator_url) as other:
        # The migration needs this name, and waits for whoever is about to give it to a table.
        other.execute("CREATE TABLE tasks (id int)")
        child = subprocess.Popen(
            [sys.executable, "-m", "taskmanager", "migrate", "--stop-with-parent"],
            env=os.environ | urls(empty_database),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdin is not None
        try:
            _wait_until_it_migrates(empty_database)
            child.stdin.close()
            assert child.wait(timeout=10) == 1
        finally:
            child.kill()
            child.wait()
        other.rollback()
    assert empty_database.execute("SELECT to_regclass('tasks')") == [(None,)]


def _wait_until_it_migrates(database: Database) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        waiting = database.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting:
            return
        time.sleep(0.05)
    raise AssertionError("the migration did not begin")


def test_the_factorys_error_without_a_database_is_readable_under_uvicorn(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "uvicorn", "main:app", "--port", str(free_port()))

    assert done.returncode not in {0, -signal.SIGKILL}
    assert "DATABASE_URL: no database is named" in done.stderr.splitlines()[-1]
