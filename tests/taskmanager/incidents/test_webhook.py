"""Alertmanager's bodies: what is kept, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmanager.incidents.entries import Entry, Kind, line_of
from taskmanager.incidents.webhook import KEPT_LABELS, BadWebhook, read_notification
from tests.processes import ROOT
from tests.taskmanager.incidents.receivers import alert, notification, watchdog

CANARY = "canary@example.com"


def test_what_is_kept_of_a_body_of_alertmanagers() -> None:
    (notice,) = read_notification(notification(alert(instance="app:8000"))).notices

    assert notice.firing
    assert not notice.watchdog
    assert notice.ends_at is None, "Go's zero time is no end"
    kept = notice.alert
    assert (kept.name, kept.code, kept.severity) == ("HighErrorRate", "high_error_rate", "critical")
    assert kept.labels["instance"] == "app:8000"
    assert kept.links == {"runbook": "docs/runbooks/high_error_rate.md", "dashboard": "/d/taskmanager-incident"}
    assert kept.starts_at == datetime(2026, 11, 27, 21, 8, 50, 143455, UTC)


def test_an_alert_that_ended_has_its_end() -> None:
    (notice,) = read_notification(notification(alert(status="resolved"))).notices

    assert not notice.firing
    assert notice.ends_at == datetime(2026, 11, 27, 21, 18, 57, tzinfo=UTC)


def test_the_watchdog_is_known_by_its_code_or_its_name() -> None:
    by_name = alert(alertname="Watchdog", code="")
    for heartbeat in (watchdog(), by_name):
        (notice,) = read_notification(notification(heartbeat)).notices
        assert notice.watchdog


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ({"code": "migration_failed"}, "migration_failed"),
        ({"code": "", "alertname": "HighErrorRate"}, "high_error_rate"),
        ({"code": "Not A Code", "alertname": "ServiceDown"}, "service_down"),
        ({"code": CANARY, "alertname": CANARY}, "unknown"),
    ],
)
def test_the_code_is_the_label_or_else_the_alerts_name(labels: dict[str, str], code: str) -> None:
    (notice,) = read_notification(notification(alert(**labels))).notices

    assert notice.alert.code == code


def _line(body: bytes) -> bytes:
    (notice,) = read_notification(body).notices
    return line_of(Entry(Kind.OPENED, datetime(2026, 11, 27, tzinfo=UTC), "alertmanager", 1, notice.alert))


@settings(deadline=None)
@given(name=st.sampled_from((*KEPT_LABELS, "user", "email", "__name__", "ip")))
def test_no_label_carries_an_address_of_a_person(name: str) -> None:
    assert CANARY.encode() not in _line(notification(alert(**{name: CANARY})))


@settings(deadline=None)
@given(name=st.sampled_from(("summary", "description", "runbook_url", "dashboard_url", "user")))
def test_no_annotation_does(name: str) -> None:
    assert CANARY.encode() not in _line(notification(alert(annotations={name: CANARY})))


@pytest.mark.parametrize(
    "link",
    [
        "https://ada:secret-canary@example.com/x",
        "https://example.com/?user=secret-canary",
        "javascript:alert(1)",
        "docs/runbooks/x.md\nsecret-canary",
        "",
    ],
)
def test_a_link_with_a_person_or_a_program_in_it_is_dropped(link: str) -> None:
    (notice,) = read_notification(notification(alert(annotations={"runbook_url": link}))).notices

    assert "runbook" not in notice.alert.links


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_whatever_labels_and_annotations_there_are_only_those_of_the_list_are_kept(
    labels: dict[str, str], annotations: dict[str, str]
) -> None:
    content = alert() | {"labels": labels, "annotations": annotations}
    (notice,) = read_notification(notification(content)).notices

    assert notice.alert.labels.keys() <= set(KEPT_LABELS)
    assert notice.alert.links.keys() <= {"runbook", "dashboard"}


def test_rules_of_one_name_are_told_apart_by_labels_that_are_kept() -> None:
    files = sorted((ROOT / "ops" / "prometheus" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    kept = [
        (rule["alert"], *(rule.get("labels", {}).get(name) for name in KEPT_LABELS))
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    ]

    assert kept
    assert [rule for rule, times in Counter(kept).items() if times > 1] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b"[]", "no_notification"),
        (b"{}", "unknown_version"),
        (notification(alert(), version="3"), "unknown_version"),
        (notification(alert(), version=4), "unknown_version"),
        (notification(), "no_notification"),
        (notification(alert(), alerts={}), "no_notification"),
    ],
)
def test_a_body_that_is_no_notification_is_told_as_what_it_is(body: bytes, code: str) -> None:
    with pytest.raises(BadWebhook) as refused:
        read_notification(body)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"status": "burning"}, "#/alerts/1/status"),
        ({"fingerprint": None}, "#/alerts/1/fingerprint"),
        ({"fingerprint": CANARY}, "#/alerts/1/fingerprint"),
        ({"labels": []}, "#/alerts/1/labels"),
        ({"annotations": 7}, "#/alerts/1/annotations"),
        ({"startsAt": "yesterday"}, "#/alerts/1/startsAt"),
        ({"endsAt": 7}, "#/alerts/1/endsAt"),
    ],
)
def test_a_faulty_alert_is_told_and_the_others_are_taken(changed: dict[str, Any], pointer: str) -> None:
    told = read_notification(notification(alert(1), alert(2) | changed, alert(3)))

    assert [fault.pointer for fault in told.faults] == [pointer]
    assert len(told.notices) == 2
    assert CANARY not in told.faults[0].detail


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["version", "alerts", "x"]), anything), anything)
def test_no_json_whatever_raises_anything_else(content: dict[str, Any], one: Any) -> None:
    for body in (content, {"version": "4", "alerts": [one]}, {"version": "4", "alerts": [alert() | {"labels": one}]}):
        with suppress(BadWebhook):
            read_notification(json.dumps(body).encode())
