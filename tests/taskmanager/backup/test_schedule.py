"""The scheduler as a process: the first backup at once, then by its interval, its failures told, its end prompt."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from taskmanager.backup.folder import BackupFolder
from taskmanager.backup.schedule import Schedule, Scheduler
from taskmanager.backup.taking import Request
from tests import plain_http
from tests.processes import free_port
from tests.taskmanager.backup.commands import Commands

_WITHIN_S = 60.0


class Running:
    """A scheduler's process, and what it tells."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def metric(self, name: str) -> float:
        text = plain_http.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            try:
                if holds():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(what)

    def end(self) -> tuple[int, list[dict[str, object]], float]:
        """Its exit status, its log and how long it took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        said, errors = self.process.communicate(timeout=20)
        assert errors == ""
        return self.process.returncode, [json.loads(line) for line in said.splitlines()], time.monotonic() - began


@contextmanager
def scheduler(commands: Commands, *options: str, **variables: str) -> Iterator[Running]:
    port = free_port()
    process = commands.start(
        "backup", "--listen", f"127.0.0.1:{port}", *options, TASKMANAGER_LOG_FORMAT="json", **variables
    )
    try:
        yield Running(process, port)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_the_first_one_is_taken_at_once_and_told(commands: Commands) -> None:
    before = time.time()
    with scheduler(commands, "--every", "24h", "--keep", "3") as running:
        last = "taskmanager_backup_last_verified_timestamp_seconds"
        running.until(lambda: running.metric(last) > 0, "a verified backup is told")

        assert before - 1 < running.metric(last) <= time.time()
        assert running.metric("taskmanager_backup_last_success_timestamp_seconds") == running.metric(last)
        assert running.metric("taskmanager_backup_max_age_seconds") == 36 * 3600
        assert running.metric("taskmanager_backups_kept") == 1
        assert running.metric("taskmanager_backup_failures_total") == 0
        assert running.metric("taskmanager_backup_size_bytes") > 1000
        assert running.metric("taskmanager_backup_duration_seconds") > 0
        assert plain_http.get(f"http://127.0.0.1:{running.port}/livez").text == "alive\n"
        assert plain_http.get(f"http://127.0.0.1:{running.port}/tasks").status_code == 404
        status, log, took_s = running.end()

    assert (status, took_s < 5) == (0, True)
    made = next(line for line in log if line["event"] == "backup made and verified")
    assert int(str(made["rows"])) > 50
    assert (made["level"], made["backup"]) == ("info", commands.names[0])
    assert log[-1]["event"] == "ended by SIGTERM"


def test_one_that_is_young_enough_is_not_taken_again(commands: Commands) -> None:
    commands.backup()
    with scheduler(commands, "--every", "24h", "--max-age", "48h") as running:
        running.until(lambda: running.metric("taskmanager_backups_kept") == 1, "it answers")
        assert running.metric("taskmanager_backup_max_age_seconds") == 48 * 3600
        status, log, _ = running.end()

    assert status == 0
    assert [line["event"] for line in log if "made" in str(line["event"])] == []


def test_they_follow_one_another_and_the_oldest_go(commands: Commands) -> None:
    with scheduler(commands, "--every", "1s", "--keep", "2") as running:
        running.until(lambda: len(commands.names) == 2, "there are two")
        first = commands.names[0]
        running.until(lambda: first not in commands.names, "the first one goes")
        assert len(commands.names) <= 3


def test_a_failure_is_counted_told_and_tried_again(commands: Commands) -> None:
    elsewhere = commands.database.migrator_url.rpartition("@")[0] + "@127.0.0.1:1/none"
    variables = {"MIGRATION_DATABASE_URL": elsewhere, "DATABASE_URL": elsewhere}
    with scheduler(commands, "--every", "24h", "--retry-after", "1s", **variables) as running:
        running.until(lambda: running.metric("taskmanager_backup_failures_total") >= 2, "it was tried twice")
        assert running.metric("taskmanager_backup_last_verified_timestamp_seconds") == 0
        status, log, _ = running.end()

    assert status == 0
    failed = [line for line in log if line["level"] == "error"]
    assert "refused" in str(failed[0]["event"])
    assert failed[0]["solution"]
    assert [line["event"] for line in log if "next attempt" in str(line["event"])][:2] == [
        "next attempt in 1 s",
        "next attempt in 2 s",
    ]


def test_what_cannot_be_verified_is_told_each_time_and_is_no_verified_one(commands: Commands) -> None:
    without = Commands(commands.database, commands.folder, scratch=False)
    with scheduler(without, "--every", "24h") as running:
        success = "taskmanager_backup_last_success_timestamp_seconds"
        running.until(lambda: running.metric(success) > 0, "there is one")
        assert running.metric("taskmanager_backup_last_verified_timestamp_seconds") == 0
        _, log, _ = running.end()

    assert "NOT verified" in str([line["event"] for line in log if line["level"] == "warning"])


def test_a_taken_port_is_the_first_thing_that_is_told(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = commands.run("backup", "--every", "24h", "--listen", address)

    assert done.returncode == 1
    assert "--listen" in done.stderr
    assert commands.names == []


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 60.0), (2, 120.0), (5, 960.0), (7, 3600.0), (1000, 3600.0)])
def test_the_pauses_after_failures_grow_up_to_an_hour(failures: int, pause_s: float) -> None:
    assert Schedule(every_s=86400, max_age_s=1, retry_after_s=60).pause_s(failures) == pause_s


def test_no_pause_is_longer_than_the_interval() -> None:
    assert Schedule(every_s=30, max_age_s=1, retry_after_s=60).pause_s(3) == 30


def _from_the_future(commands: Commands, name: str) -> None:
    """What a backup looks like that was made while the clock was two days ahead."""
    file = commands.folder / name / "manifest.json"
    made_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"made_at": made_at}))


def test_one_from_the_future_does_not_make_the_next_due_at_once_for_ever(commands: Commands) -> None:
    first = commands.backup()["name"]
    _from_the_future(commands, first)
    scheduling = Scheduler(_request(commands), Schedule(every_s=86400, max_age_s=1, retry_after_s=60))
    assert scheduling._due_in_s() == 0

    commands.backup()

    assert 86000 < scheduling._due_in_s() <= 86400


def _request(commands: Commands) -> Request:
    of = commands.database
    return Request(of.migrator_url, of.app_url, BackupFolder(commands.folder), of.admin_url)


def test_the_new_one_stays_though_by_the_clock_it_is_the_oldest(commands: Commands) -> None:
    _from_the_future(commands, commands.backup()["name"])

    new = commands.backup("--keep", "1")

    assert new["name"] in commands.names


def test_those_of_another_database_are_neither_counted_nor_deleted(commands: Commands) -> None:
    others = commands.backup()["name"]
    file = commands.folder / others / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"database": "another"}))

    commands.backup("--keep", "1")

    assert others in commands.names
    done = commands.run("restore", "latest", "--replace")
    assert done.returncode == 5
    assert "of several databases" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


@pytest.mark.parametrize("arguments", [("--every", "daily"), ("--keep", "0"), ("--listen", "9096"), ("--max-age", "1")])
def test_what_cannot_be_meant_is_told_with_its_form(commands: Commands, arguments: tuple[str, ...]) -> None:
    done = commands.run("backup", *arguments)

    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_no_schedule_in_production_with_a_password_that_everybody_knows(commands: Commands) -> None:
    unsafe = {"TASKMANAGER_ENV": "production", "MIGRATION_DATABASE_URL": "postgresql://owner:changeme@localhost/x"}
    refused = commands.run("backup", "--every", "24h", "--listen", f"127.0.0.1:{free_port()}", **unsafe)

    assert refused.returncode == 78
    assert "MIGRATION_DATABASE_URL: the password is one that everybody knows" in refused.stderr
    assert "changeme" not in refused.stderr
    # Whoever makes one by hand has a reason, and is told.
    by_hand = commands.run(
        "backup", **{**unsafe, "MIGRATION_DATABASE_URL": "postgresql://owner:changeme@127.0.0.1:1/x"}
    )
    assert by_hand.returncode == 69
    assert "unsafe: MIGRATION_DATABASE_URL: the password is one that everybody knows" in by_hand.stderr
