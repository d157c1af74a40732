"""Which incidents are over, and which are back, although Alertmanager told neither."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmanager.incidents.absences import (
    RETURN_AWAITED_FOR,
    Absences,
    Held,
    NotAlertmanager,
    read_held,
    returned,
    worth_asking,
)
from taskmanager.incidents.decisions import REOPENED_WITHIN
from taskmanager.incidents.entries import GONE_SINCE, Alert, Entry, Kind
from taskmanager.incidents.history import History, fold
from taskmanager.incidents.silences import silence
from tests.taskmanager.incidents.receivers import alert, watchdog

T0 = datetime(2026, 11, 27, 21, tzinfo=UTC)
ALERT = Alert("ab", "code", {}, {}, T0)
OTHER = Alert("cd", "other", {}, {}, T0)
NOTHING = Held({}, frozenset(), watchdog=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def held(*alerts: Alert, muted: bool = False) -> Held:
    fingerprints = frozenset(each.fingerprint for each in alerts)
    return Held({each.fingerprint: each for each in alerts}, frozenset() if muted else fingerprints, watchdog=True)


def opened(one: Alert = ALERT, id_: int = 1) -> Entry:
    return Entry(Kind.OPENED, at(0), "alertmanager", id_, one)


def look(absences: Absences, history: History, found: Held, seconds: float) -> list[Entry]:
    """One look at this time; what it decides counts."""
    entries = absences.ended(history, found, at(seconds), seconds)
    for entry in entries:
        history.take(entry)
    return entries


def test_one_that_is_gone_at_two_looks_for_long_enough_is_resolved_and_the_line_says_how_it_was_learned() -> None:
    absences, history = Absences(60), fold([opened(), opened(OTHER, 2)])

    assert look(absences, history, held(OTHER), 100) == []
    assert look(absences, history, held(OTHER), 115) == []
    [entry] = look(absences, history, held(OTHER), 160)
    assert (entry.kind, entry.who, entry.incident, entry.ends_at) == (Kind.RESOLVED, "alertmanager", 1, None)
    assert entry.text == (
        "Alertmanager did not tell the alert's end; asked, it has not had it since 2026-11-27 21:01:40 UTC"
    )
    assert history.incidents[1].end_found_out
    assert look(absences, history, held(OTHER), 175) == []


def test_one_look_is_not_enough_however_short_the_time() -> None:
    absences, history = Absences(0), fold([opened()])

    assert look(absences, history, NOTHING, 100) == []
    assert len(look(absences, history, NOTHING, 115)) == 1


@pytest.mark.parametrize("muted", [False, True])
def test_one_that_is_there_again_at_a_look_begins_anew(muted: bool) -> None:
    absences, history = Absences(0), fold([opened()])

    look(absences, history, NOTHING, 100)
    assert look(absences, history, held(ALERT, muted=muted), 115) == []
    assert look(absences, history, NOTHING, 130) == []


def test_looks_that_found_nothing_out_part_those_that_did() -> None:
    absences, history = Absences(0), fold([opened()])

    look(absences, history, NOTHING, 100)
    absences.forget()
    assert look(absences, history, NOTHING, 130) == []


def test_one_that_was_reopened_between_two_looks_begins_anew() -> None:
    absences, history = Absences(0), fold([opened()])
    look(absences, history, NOTHING, 100)
    history.take(Entry(Kind.RESOLVED, at(105), "alertmanager", 1, ALERT, at(104)))
    history.take(Entry(Kind.REOPENED, at(110), "alertmanager", 1, ALERT))

    assert look(absences, history, NOTHING, 115) == []


@pytest.mark.parametrize("watchdog", [None, Alert("ab", "watchdog", {"service": "monitoring", "env": "test"})])
def test_the_dead_mans_switchs_own_incident_is_none_of_alertmanagers(watchdog: Alert | None) -> None:
    absences, history = Absences(0), fold([opened(silence(watchdog, T0))])

    assert not worth_asking(history, at(100))
    assert [look(absences, history, NOTHING, seconds) for seconds in (100, 115, 130)] == [[], [], []]


def _found_out(seconds: float = 0) -> History:
    facts = {GONE_SINCE: "2026-11-27T21:00:00.000000Z"}
    return fold([opened(), Entry(Kind.RESOLVED, at(seconds), "alertmanager", 1, ALERT, facts=facts)])


def _back(history: History, found: Held, seconds: float) -> list[tuple[Kind, int | None]]:
    return [(entry.kind, entry.incident) for entry in returned(history, found, at(seconds), REOPENED_WITHIN)]


def test_the_return_of_one_whose_end_was_found_out_is_found_out_too() -> None:
    again = held(replace(ALERT, starts_at=at(50)))

    assert _back(_found_out(), again, 60) == [(Kind.REOPENED, 1)]
    assert _back(_found_out(), again, 3600) == [(Kind.OPENED, 2)]
    [entry] = returned(_found_out(), again, at(60), REOPENED_WITHIN)
    assert entry.text == "Alertmanager did not tell it; asked, it has the alert again"


def test_a_return_that_is_muted_is_not_told_unless_it_never_ended() -> None:
    assert _back(_found_out(), held(replace(ALERT, starts_at=at(50)), muted=True), 60) == []
    assert _back(_found_out(), held(ALERT, muted=True), 60) == [(Kind.REOPENED, 1)]


@pytest.mark.parametrize("who", ["alertmanager", "ada"])
def test_one_whose_end_was_told_is_not_reopened_by_a_look(who: str) -> None:
    history = fold([opened(), Entry(Kind.RESOLVED, at(10), who, 1, ALERT, at(9))])

    assert _back(history, held(ALERT), 60) == []
    assert not worth_asking(history, at(60))


def test_it_is_asked_while_something_is_open_and_a_day_longer_where_an_end_was_found_out() -> None:
    assert not worth_asking(History(), at(0))
    assert worth_asking(fold([opened()]), at(0))
    day = RETURN_AWAITED_FOR.total_seconds()
    assert worth_asking(_found_out(), at(day))
    assert not worth_asking(_found_out(), at(day + 1))
    assert _back(_found_out(), held(ALERT), day + 1) == []


def _answered(content: dict[str, Any], state: str) -> dict[str, Any]:
    return content | {"status": {"state": state, "silencedBy": [], "inhibitedBy": []}}


def test_an_answer_tells_what_is_there_what_is_not_muted_and_whether_the_watchdog_is_among_them() -> None:
    one, two, beat = alert(1), alert(2), watchdog()
    found = read_held([_answered(one, "suppressed"), _answered(two, "active")])

    assert found.alerts.keys() == {one["fingerprint"], two["fingerprint"]}
    assert found.active == {two["fingerprint"]}
    assert not found.watchdog
    assert read_held([_answered(beat, "suppressed")]).watchdog


@pytest.mark.parametrize(
    "content",
    [None, {}, "no", ["no"], [{}], [alert()], [_answered(alert(), "active") | {"fingerprint": "no"}]],
    ids=["null", "object", "text", "texts", "empty", "a webhook's alert", "no fingerprint"],
)
def test_an_answer_that_is_not_alertmanagers_is_refused(content: Any) -> None:
    with pytest.raises(NotAlertmanager):
        read_held(content)
