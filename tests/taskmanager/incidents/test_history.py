"""The fold: any lines in any order, and what they add up to."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from taskmanager.incidents.decisions import decide
from taskmanager.incidents.entries import Alert, Entry, Kind
from taskmanager.incidents.history import History, State, fold
from taskmanager.incidents.webhook import Notice
from tests.taskmanager.incidents.entries_made import entries

T0 = datetime(2026, 11, 27, 21, tzinfo=UTC)
ALERT = Alert("ab", "high_error_rate", {"alertname": "HighErrorRate", "severity": "critical"}, {}, T0)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def line(kind: Kind, seconds: float, who: str = "on-call", incident: int = 1, alert: Alert = ALERT) -> Entry:
    return Entry(kind, at(seconds), who, incident, alert)


@settings(deadline=None)
@given(st.lists(entries(largest_id=4), max_size=30))
def test_any_lines_in_any_order_make_a_history_that_is_consistent(lines: list[Entry]) -> None:
    history = fold(lines)

    of_incidents = {entry.incident for entry in lines if entry.incident is not None}
    assert set(history.incidents) == of_incidents
    assert all(id_ < history.next_id for id_ in history.incidents)
    for incident in history.incidents.values():
        assert (incident.state is State.RESOLVED) == (incident.resolved_at is not None)
        assert list(incident.entries) == [entry for entry in lines if entry.incident == incident.id]
    assert all(seconds >= 0 for seconds in (*history.acknowledged_s, *history.resolved_s))


@settings(deadline=None)
@given(st.lists(entries(largest_id=4), max_size=30))
def test_the_same_lines_make_the_same_history_taken_at_once_or_one_by_one(lines: list[Entry]) -> None:
    one_by_one = History()
    for entry in lines:
        fork = one_by_one.fork()
        fork.take(entry)
        one_by_one = fork

    assert one_by_one == fold(lines)


@settings(deadline=None)
@given(st.lists(entries(largest_id=4), max_size=20), entries(largest_id=4))
def test_a_fork_leaves_the_history_as_it_was(lines: list[Entry], another: Entry) -> None:
    history = fold(lines)
    history.fork().take(another)

    assert history == fold(lines)


happenings = st.lists(
    st.tuples(st.sampled_from(["1", "2", "3"]), st.booleans(), st.integers(0, 700), st.integers(0, 2)), max_size=40
)


@settings(deadline=None)
@given(happenings)
def test_whatever_alerts_do_each_has_one_open_incident_or_none_as_it_said_last(
    told: list[tuple[str, bool, int, int]],
) -> None:
    """Every interleaving of alerts that fire, repeat, end and come back."""
    history, now = History(), T0
    last: dict[str, bool] = {}
    for fingerprint, firing, later_s, generation in told:
        now += timedelta(seconds=later_s)
        alert = Alert(fingerprint, "code", {"severity": "warning"}, {}, T0 - timedelta(seconds=generation))
        decide(history, [Notice(alert, firing)], now)
        last[fingerprint] = firing
        open_now = Counter(incident.alert.fingerprint for incident in history.listed("open"))
        assert open_now == Counter(fingerprint for fingerprint, fires in last.items() if fires)
    assert sorted(history.incidents) == list(range(1, len(history.incidents) + 1))


@settings(deadline=None)
@given(happenings)
def test_what_is_told_twice_is_written_once(told: list[tuple[str, bool, int, int]]) -> None:
    history, now = History(), T0
    for fingerprint, firing, later_s, _ in told:
        now += timedelta(seconds=later_s)
        notice = Notice(Alert(fingerprint, "code", {}, {}, now if firing else None), firing)
        decide(history, [notice], now)
        # Within the same moment: a second later it may be a minute since the last, which is written down.
        assert decide(history, [notice], now) == []


def test_an_incident_is_opened_acknowledged_and_resolved_and_timed() -> None:
    history = fold([line(Kind.OPENED, 0), line(Kind.ACKNOWLEDGED, 40, "ada"), line(Kind.RESOLVED, 100, "alertmanager")])

    (incident,) = history.listed("all")
    assert (incident.id, incident.state, incident.alert.code) == (1, State.RESOLVED, "high_error_rate")
    assert (incident.acknowledged_by, incident.acknowledged_at) == ("ada", at(40))
    assert (history.acknowledged_s, history.resolved_s) == ([40.0], [100.0])


def test_who_takes_it_up_first_counts() -> None:
    lines = [line(Kind.OPENED, 0), line(Kind.ACKNOWLEDGED, 40, "ada"), line(Kind.ACKNOWLEDGED, 50, "bob")]

    assert fold(lines).incidents[1].acknowledged_by == "ada"
    assert fold(lines).acknowledged_s == [40.0]


def test_one_that_is_reopened_must_be_taken_up_and_resolved_again() -> None:
    history = fold(
        [
            line(Kind.OPENED, 0),
            line(Kind.ACKNOWLEDGED, 10),
            line(Kind.RESOLVED, 100),
            line(Kind.REOPENED, 150),
            line(Kind.ACKNOWLEDGED, 170),
            line(Kind.RESOLVED, 180),
        ]
    )

    (incident,) = history.listed("resolved")
    assert incident.reopened == 1
    assert incident.acknowledged_at == at(170)
    assert (history.acknowledged_s, history.resolved_s) == ([10.0, 20.0], [100.0, 30.0])


def test_an_incident_whose_opening_is_lost_is_known_from_the_lines_that_are_left() -> None:
    history = fold([line(Kind.NOTE, 30, incident=7)])

    (incident,) = history.listed("open")
    assert (incident.id, incident.alert.code, incident.opened_at) == (7, "high_error_rate", T0)
    assert history.next_id == 8


def test_the_newest_incident_is_listed_first() -> None:
    other = Alert("cd", "other")
    history = fold([line(Kind.OPENED, 0), line(Kind.OPENED, 1, incident=2, alert=other), line(Kind.RESOLVED, 2)])

    assert [incident.id for incident in history.listed("all")] == [2, 1]
    assert [incident.id for incident in history.listed("open")] == [2]
    assert [incident.id for incident in history.listed("resolved")] == [1]
