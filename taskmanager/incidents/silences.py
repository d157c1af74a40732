"""What the silence of a watchdog means, given the history: the lines to write, and what people are told. Pure, as the
history is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from taskmanager.incidents.decisions import fires
from taskmanager.incidents.entries import RECEIVER, Alert, Entry, Kind
from taskmanager.incidents.history import History, Incident
from taskmanager.incidents.watchdog import name_of

CODE = "alerting_silent"
RUNBOOK = f"docs/runbooks/{CODE}.md"

# No alert's fingerprint: Alertmanager's are 16 digits. This one is of the watchdog that nobody knows by name, and of
# every silence in the journals of releases that knew one watchdog; the others have their watchdog's name behind it.
_FINGERPRINT = "0"


def raised_here(alert: Alert) -> bool:
    """Whether the receiver itself raised it, so that Alertmanager does not know of it."""
    return alert.fingerprint == _FINGERPRINT or alert.fingerprint.startswith(f"{_FINGERPRINT}:")


def silence(watchdog: Alert | None, since: datetime) -> Alert:
    """The alert that the receiver raises itself, for the environment of the watchdog, None where it has no name."""
    labels = {"alertname": "AlertingSilent", "severity": "critical", "service": "monitoring", "code": CODE}
    if watchdog and "env" in watchdog.labels:
        labels["env"] = watchdog.labels["env"]
    links = {"runbook": RUNBOOK, "dashboard": "/d/taskmanager-meta"}
    return Alert(_fingerprint(watchdog), CODE, labels, links, since)


def _fingerprint(watchdog: Alert | None) -> str:
    return f"{_FINGERPRINT}:{name_of(watchdog)}" if watchdog else _FINGERPRINT


def silence_of(history: History, watchdog: Alert | None) -> Incident | None:
    """The latest incident of a watchdog's silence."""
    own = history.of_alert(_fingerprint(watchdog))
    if own is not None or watchdog is None:
        return own
    unnamed = history.of_alert(_FINGERPRINT)
    if unnamed is None or unnamed.alert.labels.get("env") not in (None, watchdog.labels.get("env")):
        return None
    return unnamed


def fallen_silent(
    history: History,
    watchdog: Alert | None,
    *,
    age_s: float | None,
    timeout_s: float,
    at: datetime,
    reopened_within: timedelta,
) -> list[Entry]:
    """The line for a watchdog that is silent, none where its incident is open or a person has just resolved it.

    `age_s`: since its last heartbeat, None where none came to this process.
    """
    latest = silence_of(history, watchdog)
    if latest is not None and latest.open:
        return []
    since = silent_since(at, age_s, timeout_s)
    alert = silence(watchdog, since)
    if latest is not None and latest.resolved_at and _never_ceased(latest, None if age_s is None else since):
        if timedelta(0) <= at - latest.resolved_at < timedelta(seconds=timeout_s):
            return []  # whoever resolved it has as long to be right as the heartbeat has to come
        alert = replace(alert, starts_at=latest.alert.starts_at)
    entry = fires(history, latest, alert, at, RECEIVER, reopened_within)
    return [entry] if entry else []


def silent_since(at: datetime, age_s: float | None, timeout_s: float) -> datetime:
    return at - timedelta(seconds=timeout_s if age_s is None else age_s)


def _never_ceased(silent: Incident, heard_at: datetime | None) -> bool:
    """Whether a person resolved it, and no heartbeat came since."""
    if silent.resolved_by == RECEIVER or silent.resolved_at is None:
        return False
    return heard_at is None or heard_at < silent.resolved_at


def heard_again(history: History, watchdog: Alert | None, at: datetime) -> list[Entry]:
    """The line for a watchdog whose heartbeat came, none where no silence of it is open."""
    silent = silence_of(history, watchdog)
    if silent is None or not silent.open:
        return []
    return [Entry(Kind.RESOLVED, at, RECEIVER, silent.id, silent.alert, ends_at=at)]


def said_of_silence(watchdog: Alert | None, since: datetime, incident: Incident | None) -> str:
    """What a person is told; `incident` is None where it cannot be written."""
    where = (
        f"Incident {incident.id}, {RUNBOOK}"
        if incident
        else f"No incident is recorded, since the journal cannot be written; {RUNBOOK}"
    )
    return (
        f"{_whose(watchdog)} has been silent since {since:%Y-%m-%d %H:%M:%S} UTC; no alert can be trusted to arrive."
        f" {where}"
    )


def said_of_return(watchdog: Alert | None, incident: Incident | None) -> str:
    where = f"Incident {incident.id}, {RUNBOOK}" if incident else RUNBOOK
    return f"{_whose(watchdog)} is back. {where}"


def _whose(watchdog: Alert | None) -> str:
    env = watchdog.labels.get("env") if watchdog else None
    return f"{CODE}: the alerting of {env}" if env else f"{CODE}: the alerting"
