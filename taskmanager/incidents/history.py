"""What the journal's lines add up to. A pure fold: no clock, no file, the same lines give the same history.

It never raises, whatever the lines are: after damage, a line may speak of an incident whose opening is lost, and that
incident is known from this line on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from taskmanager.incidents.entries import GONE_SINCE, Alert, Entry, Kind, time_text
from taskmanager.incidents.watchdog import MOST_WATCHDOGS, name_of


class State(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. Times are UTC; durations of `history` are in seconds."""

    id: int
    alert: Alert
    opened_at: datetime
    state: State
    since: datetime
    """Opened or reopened last: what an acknowledgement and a resolution are measured from."""
    notified_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    ends_at: datetime | None = None
    """When the alert stopped, by Alertmanager's word."""
    reopened: int = 0
    entries: tuple[Entry, ...] = ()

    @property
    def open(self) -> bool:
        return self.state is State.OPEN

    @property
    def end_found_out(self) -> bool:
        """Resolved since Alertmanager no longer had the alert, although it had told no end."""
        last = next((entry for entry in reversed(self.entries) if entry.kind is Kind.RESOLVED), None)
        return not self.open and last is not None and GONE_SINCE in last.facts

    def as_json(self) -> dict[str, Any]:
        """The incident as the API shows it, without its entries."""
        return {
            "id": self.id,
            "state": self.state.value,
            "code": self.alert.code,
            "severity": self.alert.severity,
            "alert": self.alert.name,
            "labels": self.alert.labels,
            "links": self.alert.links,
            "fingerprint": self.alert.fingerprint,
            "starts_at": _text(self.alert.starts_at),
            "opened_at": _text(self.opened_at),
            "acknowledged_at": _text(self.acknowledged_at),
            "acknowledged_by": self.acknowledged_by,
            "resolved_at": _text(self.resolved_at),
            "resolved_by": self.resolved_by,
            "ends_at": _text(self.ends_at),
            "reopened": self.reopened,
        }

    def with_entries(self) -> dict[str, Any]:
        return self.as_json() | {"entries": [entry.as_json() for entry in self.entries]}


def _text(at: datetime | None) -> str | None:
    return time_text(at) if at else None


@dataclass(slots=True)
class History:
    """Every incident, and what metrics are made of. Changed by `take` alone."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    """By an alert's fingerprint, its latest incident."""
    deployments: list[Entry] = field(default_factory=list)
    watchdogs: dict[str, Alert] = field(default_factory=dict)
    """By name, the alerts whose coming is awaited, once they came; no more than can be told apart."""
    next_id: int = 1
    acknowledged_s: list[float] = field(default_factory=list)
    """One for each acknowledgement, from the opening or reopening before it, in seconds."""
    resolved_s: list[float] = field(default_factory=list)
    """The same for each resolution."""

    def fork(self) -> History:
        """A history that can be changed while this one stays: what is decided counts once it is on the disk."""
        return replace(
            self,
            incidents=dict(self.incidents),
            latest=dict(self.latest),
            watchdogs=dict(self.watchdogs),
            deployments=list(self.deployments),
            acknowledged_s=list(self.acknowledged_s),
            resolved_s=list(self.resolved_s),
        )

    def of_alert(self, fingerprint: str) -> Incident | None:
        """The latest incident of an alert."""
        id_ = self.latest.get(fingerprint)
        return self.incidents.get(id_) if id_ is not None else None

    def listed(self, state: str) -> list[Incident]:
        """The incidents of a state, or `all`, newest first."""
        chosen = [incident for incident in self.incidents.values() if state in ("all", incident.state)]
        return sorted(chosen, key=lambda incident: -incident.id)

    def take(self, entry: Entry) -> None:
        """Add one line."""
        match entry.kind:
            case Kind.DEPLOYMENT:
                self.deployments.append(entry)
            case Kind.WATCHDOG_SEEN:
                self._take_watchdog(entry.alert)
            case Kind.PRUNED:
                self._take_pruned(entry)
            case Kind.JOURNAL_RECOVERED:
                pass
            case _:
                self._take_incident(entry)

    def _take_watchdog(self, watchdog: Alert | None) -> None:
        if watchdog and (name_of(watchdog) in self.watchdogs or len(self.watchdogs) < MOST_WATCHDOGS):
            self.watchdogs[name_of(watchdog)] = watchdog

    def _take_pruned(self, entry: Entry) -> None:
        told = entry.facts.get("next_incident", "")
        if told.isdecimal():
            self.next_id = max(self.next_id, int(told))

    def _take_incident(self, entry: Entry) -> None:
        id_, alert = entry.incident, entry.alert
        if id_ is None or alert is None:
            return
        before = self.incidents.get(id_)
        if before is None:
            before = self._born(id_, alert, entry)
        incident = replace(before, entries=(*before.entries, entry))
        self.incidents[id_] = self._changed(incident, entry)

    def _born(self, id_: int, alert: Alert, entry: Entry) -> Incident:
        at = entry.at if entry.kind is Kind.OPENED else alert.starts_at or entry.at
        self.latest[alert.fingerprint] = max(id_, self.latest.get(alert.fingerprint, 0))
        self.next_id = max(self.next_id, id_ + 1)
        return Incident(id_, alert, opened_at=at, state=State.OPEN, since=at, notified_at=entry.at)

    def _changed(self, incident: Incident, entry: Entry) -> Incident:
        match entry.kind:
            case Kind.NOTIFIED_AGAIN:
                return replace(incident, notified_at=entry.at)
            case Kind.ACKNOWLEDGED if incident.open and incident.acknowledged_at is None:
                self.acknowledged_s.append(_seconds(incident.since, entry.at))
                return replace(incident, acknowledged_at=entry.at, acknowledged_by=entry.who)
            case Kind.RESOLVED if incident.open:
                self.resolved_s.append(_seconds(incident.since, entry.at))
                return replace(
                    incident,
                    state=State.RESOLVED,
                    resolved_at=entry.at,
                    resolved_by=entry.who,
                    ends_at=entry.ends_at,
                )
            case Kind.REOPENED if not incident.open:
                return _reopened(incident, entry)
        return incident


def _reopened(incident: Incident, entry: Entry) -> Incident:
    """Open again, and to be looked at again: whoever acknowledged it before has seen it end."""
    return replace(
        incident,
        alert=entry.alert or incident.alert,
        state=State.OPEN,
        since=entry.at,
        notified_at=entry.at,
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        resolved_by=None,
        ends_at=None,
        reopened=incident.reopened + 1,
    )


def _seconds(start: datetime, end: datetime) -> float:
    # A clock that was set back makes no negative duration.
    return max(0.0, (end - start).total_seconds())


def fold(entries: Iterable[Entry]) -> History:
    """The history that a journal's entries add up to."""
    history = History()
    for entry in entries:
        history.take(entry)
    return history
