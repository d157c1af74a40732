"""From a configuration to a verdict, where the child or the database is slow, wrong or away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from migration_gate import project_watch
from migration_gate.description import Description
from migration_gate.project import ProjectNotDescribed
from migration_gate.project_watch import ProjectWatch, wanted
from migration_gate.revisions_lock import render
from migration_gate.states import State
from migration_gate.tables import VersionTable
from tests.databases import Database
from tests.migration_gate.verdict_cases import LINE

NOWHERE = "postgresql://reader@127.0.0.1:9/library"


def _description(address: str | None = None) -> Description:
    return Description(render(LINE), VersionTable(), address, {})


def _watch(url: str | None = NOWHERE) -> ProjectWatch:
    return ProjectWatch(Path("alembic.ini"), url=url, statements={}, interval_s=0.05)


@pytest.fixture
def describing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Let the child answer with each of these in turn; the list holds when it was asked."""

    def answer(*answers: Description | Exception | float) -> list[float]:
        coming, asked = list(answers), []

        async def description_of(_: Path) -> Description:
            asked.append(time.monotonic())
            given = coming.pop(0) if len(coming) > 1 else coming[0]
            if isinstance(given, float):
                await asyncio.sleep(given)
                given = ProjectNotDescribed("it never came")
            if isinstance(given, Exception):
                raise given
            return given

        monkeypatch.setattr(project_watch, "description_of", description_of)
        return asked

    return answer


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  the other side is a task and a database
            await asyncio.sleep(0.01)


async def test_a_start_waits_for_a_child_that_is_slow_only_so_long(
    describing: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(project_watch, "FIRST_VERDICT_WITHIN_S", 0.2)
    describing(600.0)
    watch = _watch()
    watch.start()
    started = time.monotonic()

    await watch.first_verdict()
    await watch.first_verdict()

    assert 0.15 < time.monotonic() - started < 60  # the child would take ten minutes
    assert not watch.verdict.servable
    assert watch.verdict.fault == "not checked yet"
    assert caplog.text.count("no verdict on the schema after") == 1
    await watch.stop()


async def test_a_database_that_is_away_is_a_verdict_and_is_not_waited_for(
    describing: Callable[..., list[float]],
) -> None:
    describing(_description())
    watch = _watch()
    watch.start()
    started = time.monotonic()

    await watch.first_verdict()

    assert time.monotonic() - started < 3
    assert watch.verdict.status.state is State.UNREACHABLE
    assert watch.verdict.status.code_heads == LINE.heads
    await watch.stop()


async def test_a_child_that_fails_is_asked_again_after_longer_and_longer_pauses(
    describing: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_watch, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(project_watch, "LONGEST_RETRY_S", 0.2)
    fault = ProjectNotDescribed("env.py could not be run: RuntimeError")
    asked = describing(fault, fault, fault, RuntimeError("not foreseen"), fault, _description())
    watch = _watch()
    watch.start()

    await _until(lambda: watch.verdict.status.code_heads == LINE.heads)

    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2, 0.2), strict=True):
        assert least <= pause < least + 1
    await watch.stop()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_the_first_of_these_addresses_is_taken_parameter_variable_env_py(
    describing: Callable[..., list[float]], empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = empty_database.app_url, NOWHERE
    for given, variable, of_env_py in ((right, wrong, wrong), (None, right, wrong), (None, None, right)):
        if variable is None:
            monkeypatch.delenv("DATABASE_URL")
        else:
            monkeypatch.setenv("DATABASE_URL", variable)
        describing(_description(of_env_py))
        watch = _watch(given)
        watch.start()
        await watch.first_verdict()
        assert watch.verdict.status.state is State.NEVER_MIGRATED
        await watch.stop()


async def test_where_no_address_is_named_it_says_so(describing: Callable[..., list[float]]) -> None:
    describing(_description(None))
    watch = _watch(None)
    watch.start()
    await watch.first_verdict()

    assert watch.verdict.status.evidence == "no database is named"
    assert "DATABASE_URL" in watch.verdict.status.solution
    await watch.stop()


async def test_an_end_before_the_first_answer_leaves_nothing_behind(describing: Callable[..., list[float]]) -> None:
    describing(600.0)
    watch = _watch()
    watch.start()
    await asyncio.sleep(0)

    await watch.stop()
    await watch.stop()

    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_statements_are_added_and_taken_away_by_name() -> None:
    derived = {"table:a": "A", "table:b": "B", "table:audit.c": "C"}

    assert wanted(derived, {}) == derived
    assert wanted(derived, {"table:audit.*": None, "mine": "M"}) == {"table:a": "A", "table:b": "B", "mine": "M"}
    assert wanted(derived, {"table:*": None}) == {}
    assert wanted(derived, {"table:a": "OTHER"})["table:a"] == "OTHER"
