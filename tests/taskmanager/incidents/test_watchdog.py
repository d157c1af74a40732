"""The dead man's switch: silence is an incident, and the heartbeat's return its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from taskmanager.incidents.watchdog import DeadMansSwitch
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


@pytest.mark.parametrize("verb", ["acknowledge", "resolve"])
def test_a_person_who_closes_it_is_not_contradicted_while_the_silence_lasts(receive: Receivers, verb: str) -> None:
    receiver = receive("--watchdog-timeout", "1s")
    receiver.notify(watchdog())
    _wait(receiver, _is_open)
    answer = receiver.request("POST", f"/incidents/1/{verb}", json={"by": "on-call"})
    assert answer.status_code == 200
    time.sleep(2.5)

    assert [entry["kind"] for entry in receiver.entries()][:3] == ["watchdog_seen", "opened", f"{verb}d"]
    assert len(receiver.entries()) == 3
