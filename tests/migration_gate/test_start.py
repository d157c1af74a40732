"""Migrating in a child process while the service already answers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from migration_gate.observed import LastRun, Observed, Running
from migration_gate.start import Progress, StartupMigration
from tests.migration_gate.scripted import AHEAD, BEHIND, CURRENT, ScriptedProbe, watching
from tests.migration_gate.verdict_cases import NO_TABLE, database


async def _migration(folder: Path, code: str, observed: Observed = BEHIND, **environment: str) -> StartupMigration:
    watcher = watching(observed)
    await watcher.check()
    return StartupMigration(watcher, (sys.executable, "-c", code), os.environ | environment, folder)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("observed", [BEHIND, database(**NO_TABLE)], ids=["behind", "never migrated"])
async def test_a_child_that_succeeds_is_a_success(tmp_path: Path, observed: Observed) -> None:
    code = "import os, pathlib; pathlib.Path('done').write_text(os.environ['SHELF'])"
    migration = await _migration(tmp_path, code, observed, SHELF="poetry")
    assert migration.progress is Progress.WAITING

    await migration.run()

    assert migration.progress is Progress.SUCCEEDED
    assert (tmp_path / "done").read_text() == "poetry"


@pytest.mark.parametrize(
    ("observed", "progress"),
    [
        (CURRENT, Progress.NOT_NEEDED),
        (AHEAD, Progress.NOT_NEEDED),
        (database("9999"), Progress.NOT_POSSIBLE),
        (database(has_other_tables=True, **NO_TABLE), Progress.NOT_POSSIBLE),
        (database(version_table_readable=False), Progress.NOT_POSSIBLE),
    ],
    ids=["current", "ahead", "diverged", "unversioned", "unreadable"],
)
async def test_no_child_is_started_where_nothing_is_missing_or_nothing_may_be_touched(
    tmp_path: Path, observed: Observed, progress: Progress
) -> None:
    migration = await _migration(tmp_path, "open('done', 'w')", observed)

    await migration.run()

    assert migration.progress is progress
    assert _files(tmp_path) == []


@pytest.mark.parametrize("status", [1, 3, 4, 69])
async def test_a_child_that_fails_is_a_failure_and_is_not_repeated(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    migration = await _migration(tmp_path, f"open('tries', 'a').write('x'); raise SystemExit({status})")

    await migration.run()

    assert migration.progress is Progress.FAILED
    assert (tmp_path / "tries").read_text() == "x"
    record = next(record for record in caplog.records if record.levelname == "ERROR")
    assert (record.__dict__["code"], record.__dict__["exit_code"]) == ("migration_failed", status)


async def test_a_child_that_could_not_begin_is_started_again(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "tries = pathlib.Path('tries')\n"
        "tries.write_text((tries.read_text() if tries.exists() else '') + 'x')\n"
        "sys.exit(75 if len(tries.read_text()) < 2 else 0)"
    )
    migration = await _migration(tmp_path, code)

    await migration.run()

    assert migration.progress is Progress.SUCCEEDED
    assert (tmp_path / "tries").read_text() == "xx"


NEVER_BEGINS = "import time; time.sleep(0.05); raise SystemExit(75)"
AT_WORK = replace(
    BEHIND,
    last_run=LastRun("upgrade", "running"),
    running=Running("migration-gate elsewhere:7", datetime.now(UTC), planned=2, done=0),
)


@asynccontextmanager
async def _under_way(
    folder: Path, code: str, *script: Observed, within_s: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartupMigration]:
    """A start-up migration beside a watcher that looks all the time."""
    monkeypatch.setattr("migration_gate.start.BEGINS_WITHIN_S", within_s)
    monkeypatch.setattr("migration_gate.start.LONGEST_PAUSE_S", 0.01)
    watcher = watching(*script, interval_s=0.01, hurried_interval_s=0.01)
    migration = StartupMigration(watcher, (sys.executable, "-c", code), os.environ, folder)
    tasks = [asyncio.create_task(watcher.run()), asyncio.create_task(migration.run())]
    yield migration
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until(migration: StartupMigration, progress: Progress) -> None:
    async with asyncio.timeout(20):
        while migration.progress is not progress:
            await migration._watcher.next_check()


def _times_told(caplog: pytest.LogCaptureFixture) -> int:
    return sum("no migration has begun" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("code", [NEVER_BEGINS, "import time; time.sleep(600)"], ids=["tried again", "waits"])
async def test_a_migration_that_nobody_sees_begin_is_held_up_and_that_is_told_once(
    tmp_path: Path, code: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    async with _under_way(tmp_path, code, BEHIND, within_s=0.3, monkeypatch=monkeypatch) as migration:
        migration.on_held_up(lambda: told.append(migration.progress))
        await _until(migration, Progress.RUNNING)
        await _until(migration, Progress.HELD_UP)
        for _ in range(50):
            await migration._watcher.next_check()
        assert migration.progress is Progress.HELD_UP

    assert told == [Progress.HELD_UP]
    assert _times_told(caplog) == 1
    record = next(record for record in caplog.records if "no migration has begun" in record.getMessage())
    assert (record.levelname, record.__dict__["code"]) == ("ERROR", "behind")


async def test_while_another_migrator_is_at_work_a_migration_that_waits_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _under_way(tmp_path, NEVER_BEGINS, AT_WORK, within_s=0, monkeypatch=monkeypatch) as migration:
        await _until(migration, Progress.RUNNING)
        for _ in range(50):
            await migration._watcher.next_check()
            assert migration.progress is Progress.RUNNING


async def test_a_migration_that_was_held_up_is_running_once_somebody_is_seen_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _under_way(tmp_path, NEVER_BEGINS, BEHIND, within_s=0.1, monkeypatch=monkeypatch) as migration:
        await _until(migration, Progress.HELD_UP)
        probe = migration._watcher._probe
        assert isinstance(probe, ScriptedProbe)
        probe.script = [AT_WORK]
        await _until(migration, Progress.RUNNING)


async def test_a_migration_that_another_has_made_meanwhile_is_not_tried_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _under_way(tmp_path, NEVER_BEGINS, BEHIND, CURRENT, within_s=60, monkeypatch=monkeypatch) as migration:
        await _until(migration, Progress.NOT_NEEDED)


async def _started(path: Path) -> int:
    """The child's process id, once it has written it down."""
    async with asyncio.timeout(20):
        while not path.exists() or not path.read_text():  # noqa: ASYNC110, ASYNC240  written by another process
            await asyncio.sleep(0.01)
    return int(path.read_text())  # noqa: ASYNC240


WRITE_PID = "import os, pathlib, sys, time; pathlib.Path('pid').write_text(str(os.getpid())); "


async def test_while_the_child_works_the_progress_is_running_and_cancelling_ends_it(tmp_path: Path) -> None:
    migration = await _migration(tmp_path, WRITE_PID + "time.sleep(600)")
    running = asyncio.create_task(migration.run())
    pid = await _started(tmp_path / "pid")
    assert migration.progress is Progress.RUNNING

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not psutil.pid_exists(pid)


async def test_the_childs_standard_input_stays_open_as_long_as_its_parent_lives(tmp_path: Path) -> None:
    migration = await _migration(tmp_path, WRITE_PID + "sys.stdin.read(); pathlib.Path('ended').touch()")
    running = asyncio.create_task(migration.run())
    await _started(tmp_path / "pid")
    ended: Any = tmp_path / "ended"
    await asyncio.sleep(0.2)
    assert not ended.exists()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_it_waits_for_the_databases_first_answer(tmp_path: Path) -> None:
    watcher = watching(BEHIND)
    migration = StartupMigration(watcher, (sys.executable, "-c", "open('done', 'w')"), os.environ, tmp_path)
    running = asyncio.create_task(migration.run())
    await asyncio.sleep(0)
    assert migration.progress is Progress.WAITING

    await watcher.check()
    await running

    assert migration.progress is Progress.SUCCEEDED


async def test_a_command_that_does_not_exist_is_a_failure(tmp_path: Path) -> None:
    migration = StartupMigration(watching(BEHIND, BEHIND), ("/nowhere/migrate",), os.environ, tmp_path)
    await migration._watcher.check()

    await migration.run()

    assert migration.progress is Progress.FAILED


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migration_gate.start.TERMINATE_GRACE_S", 0.2)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    migration = await _migration(tmp_path, stubborn + WRITE_PID + "time.sleep(600)")
    running = asyncio.create_task(migration.run())
    pid = await _started(tmp_path / "pid")

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not psutil.pid_exists(pid)
