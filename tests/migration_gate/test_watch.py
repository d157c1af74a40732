"""Keeping a verdict fresh while the database comes and goes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migration_gate.observed import LastRun, Observed, Override, Running
from migration_gate.states import State
from migration_gate.status import SchemaStatus
from migration_gate.watch import Watcher
from tests.migration_gate.scripted import AHEAD, AWAY, BEHIND, CURRENT, ScriptedProbe, watching
from tests.migration_gate.verdict_cases import LINE, database


def test_before_the_first_answer_there_is_no_traffic_and_a_reason() -> None:
    verdict = watching(CURRENT).verdict

    assert verdict.status.state is State.UNREACHABLE
    assert not verdict.servable
    assert not verdict.reachable
    assert verdict.fault == "not checked yet"
    assert verdict.checked_at is None


async def test_an_answer_is_judged() -> None:
    verdict = await watching(database("0abc", last_run=LastRun("upgrade", "succeeded"))).check()

    assert verdict.status.state is State.CURRENT
    assert verdict.servable
    assert verdict.reachable
    assert verdict.checked_at is not None
    assert verdict.last_run == LastRun("upgrade", "succeeded")


async def test_a_servable_verdict_is_kept_while_the_database_is_away_and_marked_so() -> None:
    watcher = watching(CURRENT, AWAY)
    first = await watcher.check()

    for _ in range(3):
        kept = await watcher.check()

    assert kept.status is first.status
    assert kept.servable
    assert not kept.reachable
    assert kept.fault == "nothing listens"
    assert kept.checked_at == first.checked_at


async def test_a_database_that_never_answered_is_unreachable() -> None:
    verdict = await watching(AWAY).check()

    assert verdict.status.state is State.UNREACHABLE
    assert not verdict.servable
    assert verdict.status.evidence == "nothing listens"


async def test_a_verdict_that_forbids_traffic_stands_while_the_database_is_away() -> None:
    watcher = watching(BEHIND, AWAY)
    await watcher.check()

    verdict = await watcher.check()

    assert verdict.status.state is State.BEHIND
    assert not verdict.servable
    assert verdict.fault == "nothing listens"


async def test_a_probe_that_fails_in_a_way_nobody_foresaw_does_not_end_the_watcher() -> None:
    watcher = watching(CURRENT, UnicodeError("a..b"), CURRENT)
    await watcher.check()

    failed = await watcher.check()
    mended = await watcher.check()

    assert failed.fault == "the check itself failed (UnicodeError)"
    assert failed.servable
    assert not failed.reachable
    assert mended.reachable


async def test_somebody_who_met_another_schema_ends_the_pause() -> None:
    watcher = watching(CURRENT, BEHIND)
    watcher._interval_s = 600.0
    running = asyncio.create_task(watcher.run())
    assert (await watcher.first_answer()).servable

    watcher.check_soon()

    assert not (await watcher.next_check()).servable
    running.cancel()


async def test_a_database_that_stopped_being_servable_gets_no_traffic_while_it_is_away() -> None:
    watcher = watching(CURRENT, BEHIND, AWAY)

    assert [(await watcher.check()).servable for _ in range(3)] == [True, False, False]


async def test_a_database_that_comes_back_is_judged_anew() -> None:
    watcher = watching(CURRENT, AWAY, BEHIND)

    states = [(await watcher.check()).status.state for _ in range(3)]

    assert states == [State.CURRENT, State.CURRENT, State.BEHIND]
    assert watcher.verdict.reachable


async def test_listeners_hear_each_change_once() -> None:
    watcher = watching(AWAY, BEHIND, BEHIND, CURRENT, CURRENT, AWAY, CURRENT, AHEAD)
    heard: list[SchemaStatus] = []
    also: list[SchemaStatus] = []
    watcher.on_change(heard.append)
    watcher.on_change(also.append)

    for _ in range(8):
        await watcher.check()

    assert [status.state for status in heard] == [
        State.UNREACHABLE,
        State.BEHIND,
        State.CURRENT,
        State.AHEAD_COMPATIBLE,
    ]
    assert also == heard


async def test_a_change_is_logged_with_its_code_and_solution(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watcher = watching(BEHIND, BEHIND, CURRENT, AWAY, AWAY, CURRENT)

    for _ in range(6):
        await watcher.check()

    said = [(record.levelname, record.getMessage().split(":")[0]) for record in caplog.records]
    assert said == [
        ("WARNING", "schema is behind"),
        ("INFO", "schema is current"),
        ("WARNING", "schema check failed"),
        ("INFO", "schema check answers again"),
    ]
    assert caplog.records[0].__dict__["code"] == "behind"
    assert caplog.records[0].__dict__["solution"] == "alembic upgrade head"


async def _run_until(watcher: Watcher, probe: ScriptedProbe, asked: int) -> None:
    running = asyncio.create_task(watcher.run())
    async with asyncio.timeout(20):
        while probe.asked < asked:
            await watcher.next_check()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    "script", [(AWAY,), (BEHIND,), (CURRENT, AWAY)], ids=["unreachable", "behind", "servable and away"]
)
async def test_it_hurries_while_somebody_waits_for_the_end_of_it(script: tuple[object, ...]) -> None:
    probe = ScriptedProbe(*script)  # type: ignore[arg-type]
    # The unhurried pause would outlast the test.
    watcher = Watcher(LINE, probe, interval_s=3600 if script[0] is not CURRENT else 0, hurried_interval_s=0)

    await _run_until(watcher, probe, asked=10)

    assert probe.asked >= 10


async def test_it_takes_its_time_while_all_is_well() -> None:
    probe = ScriptedProbe(BEHIND, CURRENT)
    watcher = Watcher(LINE, probe, interval_s=3600, hurried_interval_s=0)
    running = asyncio.create_task(watcher.run())
    await watcher.first_answer()
    while not watcher.verdict.servable:
        await watcher.next_check()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watcher.next_check(), 0.2)
    running.cancel()

    assert probe.asked == 2


async def test_the_first_answer_is_waited_for_over_failures() -> None:
    probe = ScriptedProbe(AWAY, AWAY, BEHIND)
    watcher = Watcher(LINE, probe, interval_s=3600, hurried_interval_s=0)
    running = asyncio.create_task(watcher.run())

    async with asyncio.timeout(20):
        verdict = await watcher.first_answer()
    running.cancel()

    assert verdict.status.state is State.BEHIND
    assert probe.asked >= 3


async def test_who_asks_while_somebody_else_does_gets_that_answer() -> None:
    watcher = watching(BEHIND, CURRENT)
    probe, let_go = watcher._probe, asyncio.Event()
    asked = 0

    async def slow() -> Observed:
        nonlocal asked
        asked += 1
        await let_go.wait()
        return await probe()

    watcher._probe = slow
    asking = [asyncio.create_task(watcher.check()) for _ in range(3)]
    await asyncio.sleep(0.01)
    let_go.set()

    verdicts = await asyncio.gather(*asking)

    assert asked == 1
    assert [verdict.status.state for verdict in verdicts] == [State.BEHIND] * 3


async def test_a_check_that_is_cancelled_does_not_leave_others_waiting() -> None:
    watcher = watching(CURRENT)
    probe, never = watcher._probe, asyncio.Event()

    async def silent() -> Observed:
        await never.wait()
        return await probe()

    watcher._probe = silent
    first = asyncio.create_task(watcher.check())
    await asyncio.sleep(0)
    second = asyncio.create_task(watcher.check())
    await asyncio.sleep(0)
    first.cancel()

    async with asyncio.timeout(5):
        assert not (await second).reachable
    watcher._probe = probe
    assert (await watcher.check()).servable


async def test_a_verdict_tells_since_when_its_database_is_away() -> None:
    watcher = watching(CURRENT, AWAY, AWAY, CURRENT)

    stale = [(await watcher.check()).stale_since for _ in range(4)]

    assert stale[0] is stale[3] is None
    assert stale[1] is not None
    assert stale[1] == stale[2]


async def test_a_verdict_keeps_the_last_look_that_was_answered_and_no_migrator_that_may_be_gone() -> None:
    seen = replace(BEHIND, running=Running("migration-gate h:1", datetime.now(UTC), 2, 1))
    watcher = watching(AWAY, seen, AWAY)

    verdicts = [await watcher.check() for _ in range(3)]

    assert [verdict.observed for verdict in verdicts] == [None, seen, seen]
    assert [verdict.running for verdict in verdicts] == [None, seen.running, None]


async def test_a_listener_that_fails_ends_neither_the_watcher_nor_what_the_others_hear(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = watching(BEHIND, CURRENT)
    heard: list[State] = []

    def fail(_: SchemaStatus) -> None:
        raise RuntimeError

    watcher.on_change(fail)
    watcher.on_change(lambda status: heard.append(status.state))

    await watcher.check()
    assert (await watcher.check()).servable
    assert heard == [State.BEHIND, State.CURRENT]
    assert "a listener failed" in caplog.text


async def test_a_move_of_the_revision_is_told_though_both_are_served() -> None:
    watcher = watching(CURRENT, AHEAD)
    heard: list[tuple[str, ...]] = []
    watcher.on_change(lambda status: heard.append(status.database_revisions))

    for _ in range(2):
        assert (await watcher.check()).servable

    assert heard == [("0abc",), ("1111",)]


def _overridden(observed: Observed, for_s: float) -> Observed:
    return replace(observed, override=Override(datetime.now(UTC) + timedelta(seconds=for_s), "a demonstration", "ada"))


async def test_an_override_is_told_loudly_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    overridden = _overridden(BEHIND, 60)
    watcher = watching(overridden, overridden, BEHIND, BEHIND)

    served = [(await watcher.check()).servable for _ in range(4)]

    assert served == [True, True, False, False]
    told = [record for record in caplog.records if "overrid" in record.getMessage().lower()]
    assert [record.levelname for record in told] == ["ERROR", "WARNING"]
    assert "ada" in told[0].getMessage()
    assert "a demonstration" in told[0].getMessage()


async def test_an_override_outlives_the_loss_of_its_database_and_not_its_own_end() -> None:
    watcher = watching(_overridden(BEHIND, 60), AWAY)
    assert [(await watcher.check()).servable for _ in range(2)] == [True, True]

    watcher = watching(_overridden(BEHIND, -1), AWAY)
    assert [(await watcher.check()).servable for _ in range(2)] == [True, False]
