"""The way of an alert itself: rules, Prometheus, Alertmanager, and who is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.alerts.fault import WATCHDOG, Fault, SeenBy, Setting, of_the_monitoring
from tests.alerts.rig import Rig

_NOT_TO_BE_EVALUATED = """\
groups:
  - name: not_to_be_evaluated
    rules:
      - record: each_by_each
        expr: sum by (job) (up) * on () count by (job) (up)
"""
_NOT_YAML = "groups: [\n"
_KEY = "a-key-that-nobody-told-to-alertmanager"
_KEY_VARIABLE = "TASKMANAGER_INCIDENTS_KEY"


@contextmanager
def prometheus_killed(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.monitoring.prometheus.kill()
    try:
        yield began
    finally:
        rig.monitoring.prometheus.start()
        assert rig.monitoring.prometheus.wait_until_ready()


@contextmanager
def alertmanager_killed(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.monitoring.alertmanager.kill()
    try:
        yield began
    finally:
        rig.monitoring.alertmanager.start()
        assert rig.monitoring.alertmanager.wait_until_ready()


@contextmanager
def receiver_stopped(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.monitoring.receiver.stop()
    try:
        yield began
    finally:
        rig.monitoring.receiver.start()
        assert rig.monitoring.receiver.wait_until_ready()


@contextmanager
def receiver_wants_a_key(rig: Rig) -> Iterator[float]:
    """Its key was set, and Alertmanager's was forgotten."""
    receiver = rig.monitoring.receiver
    receiver.stop()
    os.environ[_KEY_VARIABLE] = _KEY
    try:
        began = time.monotonic()
        receiver.start()
    finally:
        del os.environ[_KEY_VARIABLE]
    try:
        yield began
    finally:
        receiver.stop()
        receiver.start()
        assert receiver.wait_until_ready()


@contextmanager
def rule_not_to_be_evaluated(rig: Rig) -> Iterator[float]:
    yield from _rules_file(rig, _NOT_TO_BE_EVALUATED)


@contextmanager
def rules_file_broken(rig: Rig) -> Iterator[float]:
    yield from _rules_file(rig, _NOT_YAML)


def _rules_file(rig: Rig, text: str) -> Iterator[float]:
    file = rig.rules / "another.yml"
    file.write_text(text)
    began = time.monotonic()
    rig.monitoring.prometheus.reload()
    try:
        yield began
    finally:
        file.unlink()
        rig.monitoring.prometheus.reload()


@contextmanager
def alertmanager_configuration_broken(rig: Rig) -> Iterator[float]:
    (rig.monitoring.folder / "alertmanager.yml").write_text("route: {receiver: nobody}\n")
    began = time.monotonic()
    os.kill(rig.monitoring.alertmanager.pid, signal.SIGHUP)
    try:
        yield began
    finally:
        rig.monitoring.alertmanager.reload()


def _silent(name: str, told: str, **more: object) -> Fault:
    return Fault(
        name=name,
        alert=WATCHDOG,
        told=told,
        labels=of_the_monitoring("critical", "alerting_silent") | {"alertname": "AlertingSilent"},
        seen_by=SeenBy.RECEIVER,
        **more,  # type: ignore[arg-type]
    )


# The receiver waits for so long, and looks every second or so.
_SILENT_AFTER_S = 60.0

FAULTS = (
    _silent(
        "prometheus_killed",
        "Prometheus is killed",
        inject=prometheus_killed,
        seen_within_s=_SILENT_AFTER_S,
        within_s=120.0,
        resolved_within_s=90.0,
    ),
    _silent(
        "alertmanager_killed",
        "Alertmanager is killed",
        inject=alertmanager_killed,
        seen_within_s=_SILENT_AFTER_S,
        within_s=120.0,
        resolved_within_s=90.0,
        allowed=frozenset({"AlertmanagerUnreachable"}),
    ),
    Fault(
        name="alertmanager_killed_on_the_page",
        alert="AlertmanagerUnreachable",
        told="Alertmanager is killed, and somebody looks at Prometheus",
        labels=of_the_monitoring("critical", "alertmanager_unreachable"),
        inject=alertmanager_killed,
        seen_by=SeenBy.PROMETHEUS,
        within_s=90.0,
        resolved_within_s=240.0,
    ),
    Fault(
        name="receiver_wants_a_key",
        alert="NotificationsFailing",
        told="the incident receiver is given a key that Alertmanager does not have",
        labels=of_the_monitoring("critical", "notifications_failing", integration="webhook"),
        inject=receiver_wants_a_key,
        deafens_the_receiver=True,
        setting=Setting(shortened=5),
        # The next Watchdog, which comes every nine seconds.
        seen_within_s=15.0,
        within_s=120.0,
        resolved_within_s=240.0,
        allowed=frozenset({"IncidentReceiverDown"}),
    ),
    Fault(
        name="rule_not_to_be_evaluated",
        alert="RulesFailing",
        told="a rule is added that can be read and not evaluated",
        labels=of_the_monitoring("critical", "rules_failing"),
        inject=rule_not_to_be_evaluated,
        setting=Setting(shortened=5),
        # The new group's first evaluation, and its second, since increase() needs two points.
        seen_within_s=10.0,
        within_s=120.0,
        resolved_within_s=240.0,
    ),
    Fault(
        name="rules_file_broken",
        alert="ConfigurationNotLoaded",
        told="a file of rules is broken when Prometheus loads its configuration anew",
        labels=of_the_monitoring("warning", "configuration_not_loaded", job="prometheus"),
        inject=rules_file_broken,
        within_s=90.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="alertmanager_configuration_broken",
        alert="ConfigurationNotLoaded",
        told="Alertmanager's configuration is broken when it is loaded anew",
        labels=of_the_monitoring("warning", "configuration_not_loaded", job="alertmanager"),
        inject=alertmanager_configuration_broken,
        within_s=90.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="receiver_stopped",
        alert="IncidentReceiverDown",
        told="the incident receiver is stopped",
        labels=of_the_monitoring("critical", "incident_receiver_down"),
        inject=receiver_stopped,
        deafens_the_receiver=True,
        within_s=90.0,
        resolved_within_s=150.0,
        allowed=frozenset({"NotificationsFailing"}),
    ),
)
