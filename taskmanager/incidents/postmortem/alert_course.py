"""The course of the incident's alert, and of those beside it, by Prometheus: when its condition began to hold, when it
was pending, fired and ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskmanager.incidents.postmortem.prometheus import Prometheus, Series
from taskmanager.incidents.postmortem.signals import matcher
from taskmanager.incidents.postmortem.timeline import Event, Origin, Window


@dataclass(frozen=True, slots=True)
class Course:
    """The rows, and when the condition began that led to the notification; None where Prometheus does not know."""

    events: tuple[Event, ...]
    began: datetime | None
    rules_that_fit: int
    """Where there are several, whose condition led to it is not known."""


def course(prometheus: Prometheus, incident: dict[str, Any], notified: datetime, window: Window) -> Course:
    """Raises SourceFailed."""
    labels: dict[str, str] = incident["labels"]
    events = _alerts(prometheus, labels, window)
    expressions = prometheus.expressions(incident["alert"], labels)
    if len(expressions) > 1:
        return Course(tuple(events), None, len(expressions))
    condition = _condition(prometheus, expressions[0], labels, window) if expressions else []
    values = {"alert": incident["alert"]}
    for start, end in condition:
        events.append(Event(start, Origin.PROMETHEUS, "condition_began", values))
        if end < window.end - timedelta(seconds=2 * window.step_s):
            events.append(Event(end + timedelta(seconds=window.step_s), Origin.PROMETHEUS, "condition_ended", values))
    # A look comes up to a step later than what it sees.
    before = [min(start, notified) for start, _ in condition if start <= notified + timedelta(seconds=window.step_s)]
    own = [event.at for event in events if event.key in ("own_pending", "own_firing") and event.at <= notified]
    return Course(tuple(events), max(before, default=max(own, default=None)), len(expressions))


def _alerts(prometheus: Prometheus, labels: dict[str, str], window: Window) -> list[Event]:
    query = f'ALERTS{{alertname!="Watchdog",{matcher(labels.get("env", ""))}}}'
    events: list[Event] = []
    for series in prometheus.series(query, window):
        whose = "own" if _is_of(series, labels, "alertname") else "other"
        values = {"alert": series.labels.get("alertname", "?"), "severity": series.labels.get("severity", "?")}
        state = series.labels.get("alertstate", "firing")
        for start, end in series.runs(window.step_s):
            if start > window.start:
                events.append(Event(start, Origin.PROMETHEUS, f"{whose}_{state}", values))
            if state == "firing" and end < window.end - timedelta(seconds=2 * window.step_s):
                over = end + timedelta(seconds=window.step_s)
                events.append(Event(over, Origin.PROMETHEUS, f"{whose}_ended", values))
    return events


def _is_of(series: Series, labels: dict[str, str], *needed: str) -> bool:
    """Whether a series is about an alert with these labels: none that both have differs."""
    if any(series.labels.get(name) != labels.get(name) for name in needed):
        return False
    return all(series.labels[name] == value for name, value in labels.items() if name in series.labels)


def _condition(
    prometheus: Prometheus, expression: str, labels: dict[str, str], window: Window
) -> list[tuple[datetime, datetime]]:
    """From when to when the expression of the alert's rule held."""
    own = [series for series in prometheus.series(expression, window) if _is_of(series, labels)]
    return sorted(run for series in own for run in series.runs(window.step_s))
