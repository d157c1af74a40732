"""What a notification means: a new incident, the same one again, its end, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskmanager.incidents.decisions import REOPENED_WITHIN, decide
from taskmanager.incidents.entries import Alert, Entry, Kind
from taskmanager.incidents.history import History, fold
from taskmanager.incidents.webhook import Notice

T0 = datetime(2026, 11, 27, 21, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def notice(*, firing: bool, started: float = 0, ended: float | None = None, fingerprint: str = "ab") -> Notice:
    alert = Alert(fingerprint, "code", {}, {}, at(started))
    return Notice(alert, firing, None if ended is None else at(ended))


def told(history: History, seconds: float, *notices: Notice) -> list[tuple[Kind, int | None]]:
    return [(entry.kind, entry.incident) for entry in decide(history, notices, at(seconds))]


def resolved(seconds: float, who: str = "alertmanager") -> History:
    alert = notice(firing=True).alert
    opened = Entry(Kind.OPENED, at(0), "alertmanager", 1, alert)
    return fold([opened, Entry(Kind.RESOLVED, at(seconds), who, 1, alert)])


def test_an_alert_opens_an_incident_and_ends_it() -> None:
    history = History()

    assert told(history, 1, notice(firing=True)) == [(Kind.OPENED, 1)]
    assert told(history, 9, notice(firing=False, ended=8)) == [(Kind.RESOLVED, 1)]
    assert history.incidents[1].ends_at == at(8)


def test_several_alerts_of_one_body_open_an_incident_each() -> None:
    two = (notice(firing=True), notice(firing=True, fingerprint="cd"))

    assert told(History(), 1, *two) == [(Kind.OPENED, 1), (Kind.OPENED, 2)]


def test_one_alert_twice_in_one_body_is_one_incident() -> None:
    assert told(History(), 1, notice(firing=True), notice(firing=True)) == [(Kind.OPENED, 1)]


def test_a_repetition_is_noted_once_a_minute() -> None:
    history = History()
    told(history, 0, notice(firing=True))

    assert told(history, 59, notice(firing=True)) == []
    assert told(history, 60, notice(firing=True)) == [(Kind.NOTIFIED_AGAIN, 1)]
    assert told(history, 61, notice(firing=True)) == []


def test_one_that_comes_back_soon_is_the_same_incident() -> None:
    soon = 100 + REOPENED_WITHIN.total_seconds()

    assert told(resolved(100), soon, notice(firing=True, started=soon)) == [(Kind.REOPENED, 1)]
    assert told(resolved(100), soon + 1, notice(firing=True, started=soon)) == [(Kind.OPENED, 2)]


@pytest.mark.parametrize("who", ["alertmanager", "ada"])
def test_one_that_never_ceased_is_the_same_incident_whoever_resolved_it_and_however_late(who: str) -> None:
    assert told(resolved(100, who), 100_000, notice(firing=True, started=0)) == [(Kind.REOPENED, 1)]


def test_the_end_of_what_is_not_open_is_nothing() -> None:
    assert told(History(), 1, notice(firing=False)) == []
    assert told(resolved(100), 101, notice(firing=False)) == []


def test_the_late_end_of_an_earlier_firing_does_not_end_this_one() -> None:
    history = History()
    told(history, 50, notice(firing=True, started=50))

    assert told(history, 51, notice(firing=False, started=0, ended=40)) == []
    assert told(history, 60, notice(firing=False, started=50, ended=59)) == [(Kind.RESOLVED, 1)]
