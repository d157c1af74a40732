"""Whatever ends a backup in the middle: nothing half done looks like one, and the old ones are untouched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from stack.postgres import Cluster, create_database, temporary_cluster
from taskmanager.backup.interruption import interruptible
from taskmanager.backup.scratch import scratch
from tests.databases import Database
from tests.processes import ROOT, lacking, run_alembic
from tests.taskmanager.backup.commands import Commands, some_tasks

_WITHIN_S = 60.0


@contextmanager
def held_up(
    database: Database, table: str = "pg_largeobject_metadata"
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A table that nobody can read. By default one that pg_dump alone reads: it waits in its middle, its file begun."""
    with psycopg.connect(database.admin_url, autocommit=True) as holding:
        holding.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield holding


def _wait_until_dumping(commands: Commands, process: subprocess.Popen[str]) -> None:
    """Until somebody waits for the table that is held up."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        " AND application_name = 'taskmanager backup'"
    )
    deadline = time.monotonic() + _WITHIN_S
    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            row = admin.execute(waiting, [commands.database.name]).fetchone()
            if row and row[0] == 1:
                return
            time.sleep(0.05)
    raise AssertionError("no dump waits for the table")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_and_leaves_nothing(commands: Commands, number: signal.Signals) -> None:
    old = commands.backup()["name"]
    # Whoever runs the tests under nohup has it ignored, and a process would keep to that.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with held_up(commands.database):
        process = commands.start("backup", "--keep", "1")
        signal.signal(signal.SIGHUP, before)
        _wait_until_dumping(commands, process)
        assert len(commands.left_over) == 1

        process.send_signal(number)
        began = time.monotonic()
        _, said = process.communicate(timeout=20)

    assert time.monotonic() - began < 10
    assert process.returncode == 128 + number
    assert f"ended by {number.name}" in said
    assert (commands.names, commands.left_over) == ([old], [])
    assert commands.json("restore", old, "--replace", "--without-backup")["problems"] == []


def test_one_that_was_killed_leaves_nothing_that_looks_like_a_backup(commands: Commands) -> None:
    old = commands.backup()["name"]
    with held_up(commands.database):
        process = commands.start("backup")
        _wait_until_dumping(commands, process)
        process.kill()
        process.communicate(timeout=20)

        # pg_dump has outlived it, and has the lock until it ends.
        busy = commands.run("backup")
        assert busy.returncode == 75
        assert "another backup is at work" in busy.stderr
        assert commands.names == [old]
        assert [line.split()[0] for line in commands.run("backups").stdout.splitlines()[1:]] == [old]

    _wait_until_unlocked(commands)
    new = commands.backup()["name"]
    assert (commands.names, commands.left_over) == (sorted([old, new]), [])


def _wait_until_unlocked(commands: Commands) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        done = subprocess.run(["flock", "--nonblock", str(commands.folder / ".lock"), "true"], check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the orphaned pg_dump did not end")


def test_two_at_once_are_one(commands: Commands) -> None:
    with held_up(commands.database) as holding:
        first = commands.start("backup")
        _wait_until_dumping(commands, first)

        second = commands.run("backup")

        holding.execute("ROLLBACK")
        first.communicate(timeout=_WITHIN_S)
    assert (second.returncode, first.returncode) == (75, 0)
    assert str(first.pid) in second.stderr
    assert len(commands.names) == 1


@pytest.mark.parametrize(
    ("table", "status", "told"),
    [("tasks", 69, "the session was lost"), ("pg_largeobject_metadata", 1, "pg_dump failed")],
    ids=["before the dump", "in the dump"],
)
def test_a_session_that_is_ended_on_the_server_ends_the_backup(
    commands: Commands, table: str, status: int, told: str
) -> None:
    with held_up(commands.database, table):
        process = commands.start("backup")
        _wait_until_dumping(commands, process)
        with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name = 'taskmanager backup'",
                [commands.database.name],
            )
        _, said = process.communicate(timeout=20)

    assert process.returncode == status
    assert told in said
    assert (commands.names, commands.left_over) == ([], [])


@pytest.fixture
def own_server() -> Iterator[tuple[Cluster, Database]]:
    """A server that can be taken away."""
    with temporary_cluster() as cluster:
        made = create_database(cluster, "tasks")
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": made.migrator_url})
        database = Database("tasks", cluster.superuser_url("tasks"), made.app_url, made.migrator_url)
        some_tasks(database)
        yield cluster, database


def test_a_server_that_is_gone_in_the_middle_leaves_nothing(
    own_server: tuple[Cluster, Database], tmp_path: Path
) -> None:
    cluster, database = own_server
    commands = Commands(database, tmp_path / "backups")
    old = commands.backup()["name"]
    with pytest.raises(psycopg.OperationalError), held_up(database) as holding:  # noqa: PT012
        process = commands.start("backup")
        _wait_until_dumping(commands, process)
        os.kill(cluster.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=20)
        holding.execute("SELECT 1")

    assert process.returncode in (1, 69)
    assert said.startswith("taskmanager: ")
    assert (commands.names, commands.left_over) == ([old], [])


def test_a_disk_that_is_full_leaves_nothing(commands: Commands, tmp_path: Path) -> None:
    commands.database.execute(
        "INSERT INTO tasks (title, description) SELECT 'x', (SELECT string_agg(md5(random()::text), '')"
        " FROM generate_series(1, 200) WHERE i > 0) FROM generate_series(1, 300) i"
    )
    done = _on_a_small_disk(commands, tmp_path, "64k")

    assert "No space left on device" in done.stdout
    assert "status 1" in done.stdout
    assert "left: .lock\n" in done.stdout


def test_the_last_write_of_a_backup_may_be_the_one_for_which_there_is_no_room(
    commands: Commands, tmp_path: Path
) -> None:
    """The dump itself fits, and the rest does not."""
    done = _on_a_small_disk(commands, tmp_path, f"{_room_for_the_dump(commands)}k")

    assert "status 1" in done.stdout
    assert "No space left on device" in done.stdout
    assert "left: .lock\n" in done.stdout


def _room_for_the_dump(commands: Commands) -> int:
    """In KiB: the folder, the lock and the dump, a page each at least, and nothing for the manifest."""
    made = commands.backup()
    shutil.rmtree(commands.folder)
    pages = -(-made["files"]["database.dump"]["bytes"] // 4096)
    return 4 * (pages + 1)


def _on_a_small_disk(commands: Commands, tmp_path: Path, size: str) -> subprocess.CompletedProcess[str]:
    """Take a backup into a file system of that size, and tell what is left in it."""
    folder = tmp_path / "small"
    folder.mkdir()
    script = (
        f"mount -t tmpfs -o size={size} none '{folder}' || exit 99\n"
        f"'{sys.executable}' -m taskmanager backup --folder '{folder}' 2>&1; echo status $?\n"
        f"echo left: $(ls -A '{folder}')\n"
    )
    alone = ["-m"] if os.geteuid() == 0 else ["-rm"]
    done = subprocess.run(
        ["unshare", *alone, "sh", "-c", script],
        env={**os.environ, **commands.variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        lacking("a mount namespace", "run the tests where `unshare -rm` may mount a tmpfs")
    return done


def test_while_a_backup_is_at_work_nothing_is_restored(commands: Commands) -> None:
    """Its retention could delete what is being restored, and a backup of an emptied database be the newest."""
    old = commands.backup()["name"]
    with held_up(commands.database):
        process = commands.start("backup")
        _wait_until_dumping(commands, process)
        done = commands.run("restore", old, "--replace", "--without-backup")
        process.terminate()
        process.communicate(timeout=20)

    assert done.returncode == 75
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_a_hangup_that_nohup_ignores_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_folder_that_cannot_be_made_is_told(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = commands.run("backup", "--folder", str(tmp_path / "file" / "backups"))

    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "--folder" in done.stderr


def test_a_scratch_database_that_a_killed_process_left_is_dropped_by_the_next(commands: Commands) -> None:
    left, used = "migration_gate_backup_1000000000_00000000000a", "migration_gate_backup_1000000000_00000000000b"
    foreign = "migration_gate_backup_1000000000_of_the_team"
    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        for name in (left, used, foreign):
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            with psycopg.connect(commands.database.admin_url.rpartition("/")[0] + f"/{used}"):
                with scratch(commands.database.admin_url) as url:
                    assert "migration_gate_backup_" in url
                remaining = (
                    "SELECT datname FROM pg_database WHERE datname LIKE 'migration_gate_backup_1000000000_%' ORDER BY 1"
                )
                assert admin.execute(remaining).fetchall() == [(used,), (foreign,)]
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {left}")
            admin.execute(f"DROP DATABASE IF EXISTS {foreign}")
            admin.execute(f"DROP DATABASE IF EXISTS {used} WITH (FORCE)")
