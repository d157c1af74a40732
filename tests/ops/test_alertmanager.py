"""Alertmanager's configuration: who is told of which alert, and which alerts are muted by which."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ops.alerts import CAUSES, IMMEDIATE, MUTED_BY, SEVERITY
from tests.ops.live_alertmanager import amtool, live_alertmanager
from tests.processes import ROOT

CONFIGURATION = ROOT / "ops/alertmanager/alertmanager.yml"
RULES = ROOT / "ops/prometheus/rules"


def configuration() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    return read


def rules() -> list[tuple[str, dict[str, Any]]]:
    """Each alerting rule with the name of its group."""
    return [
        (group["name"], rule)
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def test_amtool_accepts_the_configuration() -> None:
    done = amtool("check-config", CONFIGURATION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 templates" in done.stdout


def test_the_rules_alerts_are_these_with_their_severities() -> None:
    found = rules()
    assert {rule["alert"] for _, rule in found} == SEVERITY.keys()
    for group, rule in found:
        assert SEVERITY[rule["alert"]] == rule["labels"]["severity"], rule["alert"]
        assert (rule["alert"] in IMMEDIATE) == (group == "immediate"), rule["alert"]


def test_no_alert_is_named_that_there_is_not() -> None:
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b|\bDeadlocks\b|\bWatchdog\b", _matchers()))
    assert len(named) > 15
    assert named <= SEVERITY.keys()


def _matchers() -> str:
    """All that is matched anywhere, as text."""
    whole = configuration()
    routes = [route["matchers"] for route in whole["route"]["routes"]]
    inhibitions = [rule[f"{side}_matchers"] for rule in whole["inhibit_rules"] for side in ("source", "target")]
    return " ".join(itertools.chain(*routes, *inhibitions))


@pytest.mark.parametrize("alert", sorted(SEVERITY))
def test_each_alert_goes_the_way_that_is_meant_for_it(alert: str) -> None:
    labels = (f"alertname={alert}", f"severity={SEVERITY[alert]}", "service=taskmanager", "env=production")
    done = amtool("config", "routes", "test", "--tree", "--config.file", CONFIGURATION, *labels)
    assert done.returncode == 0, done.stderr
    tree, receiver = done.stdout.rsplit("\n\n", 1)[0], done.stdout.split()[-1]
    assert receiver == ("incidents" if alert == "Watchdog" else "on-call")
    assert ('{alertname="Watchdog"}' in tree) == (alert == "Watchdog")
    assert ("{alertname=~" in tree) == (alert in IMMEDIATE)
    critical_and_not_immediate = SEVERITY[alert] == "critical" and alert not in IMMEDIATE
    assert ('{severity="critical"}' in tree) == critical_and_not_immediate


def test_who_is_told_at_once_waits_for_no_group() -> None:
    [immediate] = [route for route in configuration()["route"]["routes"] if "=~" in route["matchers"][0]]
    assert immediate["group_by"] == ["..."]
    assert (immediate["group_wait"], immediate["group_interval"]) == ("0s", "1s")


def test_only_the_incident_receiver_gets_the_watchdog() -> None:
    receivers = {receiver["name"]: receiver for receiver in configuration()["receivers"]}
    assert [webhook["url"] for webhook in receivers["incidents"]["webhook_configs"]] == ["http://incidents:9095/alerts"]
    assert set(receivers["incidents"]) == {"name", "webhook_configs"}


def test_no_cause_is_muted_and_no_two_alerts_mute_each_other() -> None:
    assert not {target for targets in MUTED_BY.values() for target in targets}.intersection(CAUSES, MUTED_BY) - {
        "ErrorBudgetBurnFast"
    }
    assert "ErrorBudgetBurnFast" not in MUTED_BY["ErrorBudgetBurnFast"]
    for source, targets in MUTED_BY.items():
        assert not any(source in MUTED_BY.get(target, ()) for target in targets)


def labels_of(alert: str, env: str, **others: str) -> dict[str, str]:
    code = "incomplete" if alert == "SchemaSuspect" else alert.lower()
    fixed = {"alertname": alert, "severity": SEVERITY[alert], "service": "taskmanager", "env": env, "code": code}
    return fixed | {"instance": "app:8000"} | others


def only_inhibitions() -> str:
    """The configuration's own inhibitions; nobody is notified, since hundreds of alerts are posted."""
    whole = configuration() | {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    return yaml.safe_dump(whole | {"templates": []})


def test_alertmanager_mutes_exactly_what_is_meant_of_every_two_alerts(tmp_path: Path) -> None:
    pairs = [pair for pair in itertools.combinations(sorted(SEVERITY), 2) if "Watchdog" not in pair]
    alerts = [labels_of(alert, f"{one}-{other}") for one, other in pairs for alert in (one, other)]
    with live_alertmanager(tmp_path, only_inhibitions()) as alertmanager:
        alertmanager.post(*alerts)
        shown = alertmanager.alerts()
    assert len(shown) == len(alerts)
    names = {alert["fingerprint"]: alert["labels"]["alertname"] for alert in shown}
    muted = {
        (names[source], alert["labels"]["alertname"]) for alert in shown for source in alert["status"]["inhibitedBy"]
    }
    assert muted == {(source, target) for source, targets in MUTED_BY.items() for target in targets}


def test_nothing_is_muted_across_services_environments_or_instances(tmp_path: Path) -> None:
    with live_alertmanager(tmp_path, only_inhibitions()) as alertmanager:
        alertmanager.post(
            labels_of("ServiceDown", "production"),
            labels_of("HighErrorRate", "staging"),
            labels_of("HighErrorRate", "production", service="another"),
            labels_of("CrashLoop", "development", instance="app:1"),
            labels_of("ReplicaDown", "development", instance="app:2"),
            labels_of("MigrationFailed", "test"),
            labels_of("SchemaSuspect", "test", code="drifted"),
            # Neither says what it speaks of, as none of our rules does.
            {"alertname": "SchemaBroken"},
            {"alertname": "DatabaseError", "kind": "schema"},
        )
        shown = alertmanager.alerts()
    assert len(shown) == 9
    assert [alert["labels"] for alert in shown if alert["status"]["inhibitedBy"]] == []
