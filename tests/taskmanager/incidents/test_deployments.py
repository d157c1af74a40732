"""Deployments in the history: what is told of them, what they add up to, and which an incident may come from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmanager.incidents.deployments import Result, is_suspect, suspects, tally
from taskmanager.incidents.entries import Entry, Kind
from tests.taskmanager.incidents.receivers import JSON, Receiver, Receivers, alert

T0 = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)


def deployment(result: str, minutes: float = 0.0, verb: str = "deploy", **facts: str) -> Entry:
    told = {"commit": "9f3c01a", "verb": verb, **({"result": result} if result else {}), **facts}
    return Entry(Kind.DEPLOYMENT, T0 + timedelta(minutes=minutes), "stack deploy", facts=told)


def post(receiver: Receiver, **content: object) -> int:
    body = json.dumps({"by": "stack deploy", "commit": "9f3c01a", **content})
    return receiver.request("POST", "/deployments", content=body, headers=JSON).status_code


def told(receiver: Receiver) -> list[str]:
    lines = receiver.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("taskmanager_deployment") and "_timestamp_" not in line]


def test_the_share_is_that_of_the_last_ten() -> None:
    entries = [deployment("failed"), *(deployment("succeeded") for _ in range(9)), deployment("rolled_back")]

    assert tally(entries[:5]).share == 0.8
    assert tally(entries).share == 0.9, "the first is the eleventh"
    assert tally(entries).by_result == {
        Result.SUCCEEDED: 9,
        Result.ROLLED_BACK: 1,
        Result.FAILED: 1,
        Result.REFUSED: 0,
    }


@pytest.mark.parametrize(
    "entry", [deployment("refused"), deployment("failed", verb="rollback"), deployment(""), deployment("later_word")]
)
def test_what_is_no_deployment_that_was_tried_does_not_count(entry: Entry) -> None:
    assert tally([deployment("succeeded"), entry]).share == 1.0
    assert tally([entry]).share is None


@pytest.mark.parametrize(
    ("result", "minutes", "suspected"),
    [
        ("succeeded", -29.9, True),
        ("rolled_back", -1, True),
        ("", -1, True),
        ("succeeded", -30.1, False),
        ("succeeded", 0.1, False),
        ("refused", -1, False),
    ],
)
def test_a_deployment_of_the_half_hour_before_is_suspected(result: str, minutes: float, suspected: bool) -> None:
    entry = deployment(result, minutes).as_json()

    assert is_suspect(entry, T0) is suspected
    assert suspects({"opened_at": "2026-11-27T21:00:00.000000Z"}, [entry]) == ([entry] if suspected else [])


@pytest.mark.parametrize(("seconds", "suspected"), [("61", True), ("59", False), ("nonsense", False), ("1e999", False)])
def test_a_deployment_that_was_at_work_as_it_opened_is_suspected(seconds: str, suspected: bool) -> None:
    entry = deployment("rolled_back", minutes=1, seconds=seconds).as_json()

    assert is_suspect(entry, T0) is suspected


def test_how_deployments_ended_is_told_as_metrics_and_outlasts_a_restart(receive: Receivers) -> None:
    receiver = receive()
    assert "taskmanager_deployment_success_ratio NaN" in told(receiver)
    assert 'taskmanager_deployments_total{result="rolled_back"} 0.0' in told(receiver)

    for result in ("succeeded", "rolled_back", "refused"):
        assert post(receiver, result=result, seconds="31.4", previous="1b22c3d", verb="deploy", text="why") == 201

    expected = [
        'taskmanager_deployments_total{result="succeeded"} 1.0',
        'taskmanager_deployments_total{result="rolled_back"} 1.0',
        'taskmanager_deployments_total{result="failed"} 0.0',
        'taskmanager_deployments_total{result="refused"} 1.0',
        "taskmanager_deployment_success_ratio 0.5",
    ]
    assert told(receiver) == expected
    receiver.stop()
    assert told(receive()) == expected


def test_what_no_deployment_can_say_is_refused(receive: Receivers) -> None:
    receiver = receive()

    for wrong in ({"result": "great"}, {"seconds": "soon"}, {"verb": "drop"}, {"previous": "a b"}, {"who": "me"}):
        assert post(receiver, **wrong) == 422, wrong
    assert told(receiver)[0].endswith(" 0.0")


def test_an_incident_is_shown_with_the_deployment_before_it(receive: Receivers) -> None:
    receiver = receive()
    post(receiver, result="refused")
    post(receiver, result="rolled_back", text="errors rise: 12 of 40 requests failed", env="production")
    receiver.notify(alert())

    shown = receiver.command("show", "1").stdout
    [before] = json.loads(receiver.command("show", "1", "--json").stdout)["deployments_before"]
    written = receiver.command("postmortem", "1").stdout
    french = receiver.command("postmortem", "1", "--lang", "fr").stdout

    assert "9f3c01a, production: rolled back (errors rise: 12 of 40 requests failed)" in shown
    assert shown.count("deployed") == 1
    assert before["facts"]["result"] == "rolled_back"
    assert "Deployment rolled back by itself: 9f3c01a, production" in written
    assert "Déploiement annulé de lui-même" in french


def test_a_deployment_before_the_timeline_is_in_it_and_one_that_failed_mends_nothing() -> None:
    from taskmanager.incidents.postmortem import journal_rows
    from taskmanager.incidents.postmortem.timeline import Window

    incident: dict[str, Any] = {"id": 1, "alert": "A", "starts_at": None, "opened_at": "2026-11-27T21:00:00.000000Z"}
    window = Window(T0 - timedelta(minutes=15), T0 + timedelta(hours=1), 1.0)
    deployments = [deployment("failed", -25), deployment("succeeded", -45), deployment("succeeded", 10)]

    rows = journal_rows.events({**incident, "entries": []}, [each.as_json() for each in deployments], window)

    assert [(row.key, row.mends) for row in rows] == [("deployment_failed", False), ("deployment_succeeded", True)]
