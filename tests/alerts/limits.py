"""The longest that a notification may take by what is configured: no measurement, a sum.

What the service takes to notice, a scrape, its timeout where the process hangs, the window where it must fill, an
evaluation, `for` rounded up to evaluations, the recording rules in between, and Alertmanager's wait.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.alerts import shortened
from tests.alerts.fault import Fault, SeenBy
from tests.alerts.rig.rig import RULES
from tests.alerts.shortened import seconds
from tests.processes import ROOT

_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*)"?\s*')
_JOB = {"taskmanager": "taskmanager", "monitoring": "prometheus"}
# An alert about the service, told from another job.
_JOB_OF_ALERT = {"BackupTooOld": "backup"}


@dataclass(frozen=True)
class Configuration:
    """What is shipped, parsed."""

    prometheus: Mapping[str, Any]
    alertmanager: Mapping[str, Any]
    rules: dict[str, Any]


def shipped(root: Path = ROOT) -> Configuration:
    """The configuration of this tree."""
    return Configuration(
        shortened.parsed(root / "prometheus.yml"),
        shortened.parsed(root / "ops/alertmanager/alertmanager.yml"),
        shortened.rule_files(root / RULES),
    )


def limit_s(fault: Fault, configuration: Configuration) -> float:
    """The sum for a fault, in seconds, with windows as short as in its proof; of several rules the quickest counts."""
    if fault.seen_by is SeenBy.RECEIVER:
        return fault.seen_within_s + _scrape_s(configuration, "incidents")[0]
    files = shortened.shorten(configuration.rules, fault.alert, fault.setting.shortened)
    interval_s, timeout_s = _scrape_s(configuration, _JOB_OF_ALERT.get(fault.alert) or _JOB[fault.labels["service"]])
    default_s = seconds(configuration.prometheus["global"]["evaluation_interval"])
    rules_s = [_rule_s(rules, default_s, fills_window=fault.fills_window) for rules in _closures(files, fault.alert)]
    sum_s = fault.seen_within_s + interval_s + (timeout_s if fault.hung else 0.0) + min(rules_s)
    if fault.seen_by is SeenBy.PROMETHEUS:
        return sum_s
    return sum_s + group_wait_s(configuration.alertmanager["route"], {"alertname": fault.alert, **fault.labels})


def _closures(files: dict[str, Any], alert: str) -> list[list[shortened.GroupAndRule]]:
    found = shortened.closures(files, alert)
    assert found, f"there is no alert {alert}"
    return found


def _rule_s(rules: list[shortened.GroupAndRule], default_s: float, *, fills_window: bool) -> float:
    """From the scrape on: the rule's window, its evaluation and its wait, and what it reads that is recorded."""
    group, alert = rules[0]
    interval_s = _interval_s(group, default_s)
    sum_s = interval_s + math.ceil(seconds(alert.get("for", "0s")) / interval_s) * interval_s
    # What another group records may have been computed just before its own scrape came.
    others = {own["name"]: own for own, _ in rules if own["name"] != group["name"]}
    sum_s += sum(_interval_s(other, default_s) for other in others.values())
    if fills_window:
        sum_s += max((window for _, rule in rules for window in shortened.windows_s(rule["expr"])), default=0.0)
    return sum_s


def _scrape_s(configuration: Configuration, job_name: str) -> tuple[float, float]:
    shared = configuration.prometheus["global"]
    job = next(job for job in configuration.prometheus["scrape_configs"] if job["job_name"] == job_name)
    return (
        seconds(job.get("scrape_interval", shared["scrape_interval"])),
        seconds(job.get("scrape_timeout", shared["scrape_timeout"])),
    )


def _interval_s(group: Mapping[str, Any], default_s: float) -> float:
    return seconds(group["interval"]) if "interval" in group else default_s


def group_wait_s(route: Mapping[str, Any], labels: Mapping[str, str], inherited: str = "30s") -> float:
    """How long Alertmanager waits before it tells of a new group, by the first route that matches."""
    wait = route.get("group_wait", inherited)
    for child in route.get("routes", ()):
        if all(_matches(matcher, labels) for matcher in child.get("matchers", ())):
            return group_wait_s(child, labels, wait)
    return seconds(wait)


def _matches(matcher: str, labels: Mapping[str, str]) -> bool:
    parsed = _MATCHER.fullmatch(matcher)
    assert parsed is not None, f"{matcher!r} is no matcher"
    name, operator, value = parsed.groups()
    told = labels.get(name, "")
    found = re.fullmatch(value, told) is not None if "~" in operator else told == value
    return found is not operator.startswith("!")
