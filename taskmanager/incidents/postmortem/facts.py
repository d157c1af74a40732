"""Everything that a post-mortem states, gathered, and in no language yet."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from taskmanager.incidents.entries import Kind, read_time
from taskmanager.incidents.postmortem import alertmanager, journal_rows, ledger, service, signals
from taskmanager.incidents.postmortem.alert_course import course
from taskmanager.incidents.postmortem.impact import Impact, measure
from taskmanager.incidents.postmortem.prometheus import Prometheus
from taskmanager.incidents.postmortem.timeline import Asked, Event, Origin, Source, SourceFailed, Window, in_order

# What a scrape or an evaluation may still tell of the end.
AFTER = timedelta(minutes=1)

# Rates look back for as long: the first failed requests are older than the condition that they made true.
LOOK_BACK = timedelta(minutes=1)

# Prometheus refuses more than 11,000 points a series; so many show tenths of a second within a quarter of an hour.
MOST_POINTS = 5000
FINEST_STEP_S = 0.2


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the sources are; None is not asked. The ledger is asked by a command."""

    prometheus: str | None = None
    alertmanager: str | None = None
    service: str | None = None
    ledger: bool = False


@dataclass(slots=True)
class Facts:
    """Durations are in seconds, None where an end is not known."""

    incident: dict[str, Any]
    window: Window
    written_at: datetime
    events: list[Event] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    began: datetime | None = None
    """When the alert's condition first held, by Prometheus."""
    rules_that_fit: int = 0
    """How many rules of Prometheus may have raised the alert."""
    impact: Impact | None = None
    now: service.Now | None = None
    failures: list[str] = field(default_factory=list)
    """What the source that is being asked could not tell."""

    @property
    def opened_at(self) -> datetime:
        return read_time(self.incident["opened_at"])

    @property
    def resolved_at(self) -> datetime | None:
        return _time(self.incident["resolved_at"])

    @property
    def started_at(self) -> datetime:
        """The earliest that is known: the condition's beginning, the alert's, or the notification."""
        return min(at for at in (self.began, _time(self.incident["starts_at"]), self.opened_at) if at)

    @property
    def to_detect_s(self) -> float | None:
        return None if self.began is None else _seconds(self.began, self.opened_at)

    @property
    def to_acknowledge_s(self) -> float | None:
        """Of the first acknowledgement, from the opening or reopening before it, as the metric counts it."""
        since = self.opened_at
        for entry in self.incident["entries"]:
            if entry["kind"] == Kind.REOPENED:
                since = read_time(entry["at"])
            elif entry["kind"] == Kind.ACKNOWLEDGED:
                return _seconds(since, read_time(entry["at"]))
        return None

    @property
    def to_resolve_s(self) -> float | None:
        return _seconds(self.opened_at, self.resolved_at)

    @property
    def lasted_s(self) -> float | None:
        return _seconds(self.started_at, self.resolved_at)

    def changes_before_the_end(self) -> list[Event]:
        """What can have ended it: changes to the system while it lasted, the latest last."""
        end = self.resolved_at or self.written_at
        return [event for event in self.events if event.mends and self.started_at < event.at <= end]


def gather(
    incident: dict[str, Any], deployments: list[dict[str, Any]], addresses: Addresses, before: timedelta
) -> Facts:
    """Ask every source that is named. One that does not answer is in `sources` and stops nothing."""
    written_at = datetime.now(UTC)
    facts = Facts(incident, _window(incident, before, written_at), written_at)
    facts.events += journal_rows.events(incident, deployments, facts.window)
    facts.sources.append(Source(Origin.JOURNAL, Asked.ANSWERED))
    _ask(facts, Origin.PROMETHEUS, addresses.prometheus, lambda url: _of_prometheus(facts, url))
    _ask(
        facts,
        Origin.ALERTMANAGER,
        addresses.alertmanager,
        lambda url: alertmanager.events(url, incident, facts.window),
    )
    _ask(facts, Origin.LEDGER, "" if addresses.ledger else None, lambda _: ledger.events(facts.window))
    _ask(facts, Origin.SERVICE, addresses.service, lambda url: _of_service(facts, url))
    facts.events = in_order(facts.events)
    return facts


def _window(incident: dict[str, Any], before: timedelta, now: datetime) -> Window:
    opened = read_time(incident["opened_at"])
    start = min(opened, _time(incident["starts_at"]) or opened)
    if opened - start > timedelta(days=1):
        start = opened  # an alert that was there long before anybody was told of it, or a clock that is wrong
    end = min(now, (_time(incident["resolved_at"]) or now) + AFTER)
    start = (start - before).replace(microsecond=0)
    step_s = math.ceil((end - start).total_seconds() / MOST_POINTS * 10) / 10
    return Window(start, end, max(FINEST_STEP_S, step_s))


def _ask(facts: Facts, origin: Origin, address: str | None, events: Callable[[str], list[Event]]) -> None:
    if address is None:
        facts.sources.append(Source(origin, Asked.NOT_ASKED))
        return
    try:
        found = events(address)
    except SourceFailed as error:
        facts.sources.append(Source(origin, Asked.UNREACHABLE, str(error)))
        return
    facts.events += found
    if facts.failures:
        facts.sources.append(Source(origin, Asked.IN_PART, facts.failures.pop()))
    else:
        answered = bool(found) or origin is Origin.SERVICE
        facts.sources.append(Source(origin, Asked.ANSWERED if answered else Asked.SILENT))


def _of_prometheus(facts: Facts, url: str) -> list[Event]:
    """Three questions. One that is too much for the server must not take the other answers away."""
    prometheus = Prometheus(url)
    env = facts.incident["labels"].get("env", "")
    found: list[Event] = []

    def course_of_alert() -> None:
        of_alerts = course(prometheus, facts.incident, facts.opened_at, facts.window)
        facts.began, facts.rules_that_fit = of_alerts.began, of_alerts.rules_that_fit
        found.extend(of_alerts.events)

    def impact() -> None:
        until = facts.resolved_at or facts.written_at
        facts.impact = measure(prometheus, facts.window, env, facts.started_at - LOOK_BACK, until)

    def what_the_service_told() -> None:
        found.extend(signals.events(prometheus, facts.window, env))

    questions = (course_of_alert, impact, what_the_service_told)
    failures: list[SourceFailed] = []
    for question in questions:
        try:
            question()
        except SourceFailed as error:
            failures.append(error)
    if len(failures) == len(questions):
        raise failures[0]
    facts.failures = [str(failures[0])] if failures else []
    return found


def _of_service(facts: Facts, url: str) -> list[Event]:
    facts.now = service.ask(url)
    return []


def _time(text: str | None) -> datetime | None:
    return read_time(text) if text else None


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else max(0.0, (end - start).total_seconds())
