"""The dead man's switch: silence is an incident, and the heartbeat's return its end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskmanager.incidents.entries import Alert, Entry, Kind, line_of, read_time
from taskmanager.incidents.watchdog import MOST_WATCHDOGS, DeadMansSwitch
from tests.taskmanager.incidents.receivers import Receiver, Receivers, alert, watchdog


def test_before_the_first_heartbeat_silence_is_nothing_unless_it_is_expected() -> None:
    assert not DeadMansSwitch(60).silent(1e9)
    expected = DeadMansSwitch(60, expected_since=100)
    assert not expected.silent(160)
    assert expected.silent(161)
    assert expected.age_s(161) is None


def test_each_heartbeat_gives_it_its_time_again() -> None:
    switch = DeadMansSwitch(60)
    switch.beat(100)
    assert not switch.silent(160)
    assert switch.silent(161)
    switch.beat(161)
    assert not switch.silent(221)
    assert switch.age_s(200) == 39


def test_a_watchdog_that_ended_is_silent_at_once() -> None:
    switch = DeadMansSwitch(60)
    switch.beat(100)
    switch.stop()
    assert switch.silent(100)
    switch.beat(101)
    assert not switch.silent(101)


def _wait(receiver: Receiver, is_so: Callable[[list[dict[str, Any]]], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not is_so(receiver.incidents()):
        assert time.monotonic() < deadline, receiver.incidents()
        time.sleep(0.05)


def _is_open(incidents: list[dict[str, Any]]) -> bool:
    return [(each["code"], each["severity"], each["state"]) for each in incidents] == [
        ("alerting_silent", "critical", "open")
    ]


def test_the_heartbeat_is_no_incident_and_its_absence_is_one_until_it_is_back(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "2s")
    for _ in range(6):
        receiver.notify(watchdog())
        assert receiver.incidents() == []
        time.sleep(0.5)
    _wait(receiver, _is_open)
    (incident,) = receiver.incidents()
    assert incident["links"]["runbook"] == "docs/runbooks/alerting_silent.md"
    assert incident["labels"]["env"] == "test", "that of the Watchdog"

    receiver.notify(watchdog())
    (incident,) = receiver.incidents()
    assert (incident["state"], incident["resolved_by"]) == ("resolved", "receiver")
    assert [entry["kind"] for entry in receiver.entries()] == ["watchdog_seen", "opened", "resolved"]


def test_a_watchdog_that_ended_is_an_incident_at_once(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "1h")
    receiver.notify(watchdog())
    receiver.notify(watchdog("resolved"))

    _wait(receiver, _is_open)


def test_one_that_never_came_is_missed_only_where_it_is_expected(receive: Receivers) -> None:
    expecting = receive("--watchdog-timeout", "1s", "--expect-watchdog")
    _wait(expecting, _is_open)
    expecting.stop()
    expecting.journal.unlink()

    patient = receive("--watchdog-timeout", "1s")
    patient.notify(alert())
    time.sleep(2.5)
    assert [each["code"] for each in patient.incidents()] == ["high_error_rate"]


def test_a_restart_does_not_forget_that_it_is_waited_for_and_opens_no_second_incident(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "1s")
    receiver.notify(watchdog())
    receiver.stop()

    again = receive("--watchdog-timeout", "1s")
    _wait(again, _is_open)
    again.stop()
    third = receive("--watchdog-timeout", "1s")
    time.sleep(2.5)
    assert _is_open(third.incidents())


def _kinds(receiver: Receiver) -> list[str]:
    return [entry["kind"] for entry in receiver.entries()]


def _wait_for_line(receiver: Receiver, kind: str, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while kind not in _kinds(receiver):
        assert time.monotonic() < deadline, _kinds(receiver)
        time.sleep(0.05)


def _seconds_between(first: dict[str, Any], second: dict[str, Any]) -> float:
    return (read_time(second["at"]) - read_time(first["at"])).total_seconds()


def test_one_that_a_person_acknowledged_is_not_written_again_while_the_silence_lasts(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "1s")
    receiver.notify(watchdog())
    _wait(receiver, _is_open)
    assert receiver.request("POST", "/incidents/1/acknowledge", json={"by": "on-call"}).status_code == 200
    time.sleep(2.5)

    assert _kinds(receiver) == ["watchdog_seen", "opened", "acknowledged"]


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
def test_one_that_a_person_resolved_is_reopened_once_the_silence_has_lasted_as_long_again(
    receive: Receivers, restarted: bool
) -> None:
    """Whoever closes it can be wrong about the alerting, as about any alert that never ceased; the time is theirs to
    mend it. It is the same incident, however long ago an alert may come back to reopen its own."""
    options = ("--watchdog-timeout", "3s", "--reopen-within", "1s")
    receiver = receive(*options)
    receiver.notify(watchdog())
    receiver.notify(watchdog("resolved"))
    _wait(receiver, _is_open)
    assert receiver.request("POST", "/incidents/1/resolve", json={"by": "on-call"}).status_code == 200
    if restarted:
        receiver.stop()
        receiver = receive(*options)
    _wait_for_line(receiver, "reopened")

    *_, resolved, reopened = receiver.entries()
    assert _kinds(receiver) == ["watchdog_seen", "opened", "resolved", "reopened"]
    assert (reopened["incident"], reopened["who"]) == (1, "receiver")
    assert 3 <= _seconds_between(resolved, reopened) < 8


def test_a_silence_after_the_heartbeat_came_back_is_not_taken_for_the_one_that_a_person_resolved(
    receive: Receivers,
) -> None:
    receiver = receive("--watchdog-timeout", "1h")
    receiver.notify(watchdog())
    receiver.notify(watchdog("resolved"))
    _wait(receiver, _is_open)
    assert receiver.request("POST", "/incidents/1/resolve", json={"by": "on-call"}).status_code == 200
    receiver.notify(watchdog())
    receiver.notify(watchdog("resolved"))

    _wait(receiver, _is_open, within_s=5)


def _silent_environments(receiver: Receiver) -> list[tuple[str, str]]:
    return sorted((each["labels"].get("env", ""), each["state"]) for each in receiver.incidents())


def test_the_heartbeat_of_one_environment_does_not_cover_the_silence_of_another(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "2s")
    receiver.notify(watchdog(env="staging"))
    deadline = time.monotonic() + 15
    while _silent_environments(receiver) != [("staging", "open")]:
        receiver.notify(watchdog(env="production"))
        assert time.monotonic() < deadline, receiver.incidents()
        time.sleep(0.1)
    _wait(receiver, lambda found: _silent_environments(receiver) == [("production", "open"), ("staging", "open")])

    receiver.notify(watchdog(env="staging"))
    assert ("staging", "resolved") in _silent_environments(receiver)
    assert ("production", "open") in _silent_environments(receiver), "that of another is not its return"


def test_environments_that_take_turns_are_written_once_each(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "1h")
    for _ in range(5):
        receiver.notify(watchdog(env="staging"))
        receiver.notify(watchdog(env="production"))
    receiver.stop()
    again = receive("--watchdog-timeout", "1h")
    again.notify(watchdog(env="staging"), watchdog(env="production"))

    assert _kinds(again) == ["watchdog_seen", "watchdog_seen"]


def test_the_age_that_is_told_is_the_oldest_one(receive: Receivers) -> None:
    receiver = receive("--watchdog-timeout", "1h")
    assert _age_s(receiver) is None
    receiver.notify(watchdog(env="staging"))
    _wait(receiver, lambda _: (_age_s(receiver) or 0) >= 1)
    receiver.notify(watchdog(env="production"))

    assert (_age_s(receiver) or 0) >= 1


def _age_s(receiver: Receiver) -> float | None:
    told = re.search(r"^taskmanager_incidents_watchdog_age_seconds (\S+)$", receiver.get("/metrics").text, re.MULTILINE)
    assert told is not None
    return None if told[1] == "NaN" else float(told[1])


def test_more_watchdogs_than_can_be_told_apart_are_counted_as_the_last_and_that_is_said_once(
    receive: Receivers,
) -> None:
    receiver = receive("--watchdog-timeout", "1h")
    for number in (*range(MOST_WATCHDOGS + 3), MOST_WATCHDOGS + 1):
        assert receiver.notify(watchdog(env=f"env-{number}")) == 200
    assert _kinds(receiver) == ["watchdog_seen"] * MOST_WATCHDOGS
    assert receiver.log.count("counted as the last") == 1

    receiver.notify(watchdog("resolved", env=f"env-{MOST_WATCHDOGS + 2}"))
    _wait(receiver, lambda _: _silent_environments(receiver) == [(f"env-{MOST_WATCHDOGS - 1}", "open")])


def test_a_journal_of_a_release_that_knew_one_watchdog_goes_on(receive: Receivers, tmp_path: Path) -> None:
    """Its lines alternate where two environments sent here, and every silence has the one fingerprint."""
    journal = tmp_path / "old.jsonl"
    at, labels = datetime.now(UTC), {"alertname": "Watchdog", "service": "monitoring"}
    seen = [
        Entry(Kind.WATCHDOG_SEEN, at, "receiver", alert=Alert("ab", "watchdog", labels | {"env": env}))
        for env in ("staging", "production") * 3
    ]
    silent = Alert("0", "alerting_silent", {"alertname": "AlertingSilent", "env": "production"}, {}, at)
    lines = [*seen, Entry(Kind.OPENED, at, "receiver", 1, silent)]
    journal.write_bytes(b"".join(line_of(entry.numbered(number)) for number, entry in enumerate(lines, 1)))
    receiver = receive("--watchdog-timeout", "2s", journal=journal)
    _wait(receiver, lambda _: _silent_environments(receiver) == [("production", "open"), ("staging", "open")])

    receiver.notify(watchdog(env="production"), watchdog(env="staging"))
    assert [each["state"] for each in receiver.incidents()] == ["resolved", "resolved"]
