"""What a notification means, given the history: the lines to write. Pure, as the history is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from taskmanager.incidents.entries import ALERTMANAGER, Alert, Entry, Kind
from taskmanager.incidents.history import History, Incident
from taskmanager.incidents.webhook import Notice

REOPENED_WITHIN = timedelta(minutes=5)
"""An alert that comes back so soon is the same incident: one that flaps is one incident and not twenty."""

# Alertmanager repeats, and tries again what it could not deliver. A line for each would fill the journal.
REPEATS_NOTED_EVERY = timedelta(minutes=1)


def decide(
    history: History, notices: Iterable[Notice], at: datetime, reopened_within: timedelta = REOPENED_WITHIN
) -> list[Entry]:
    """The lines that notices ask for, none where all is known.

    Parameters
    ----------
    history: changed as if the lines were written; give a fork of the real one.
    notices: in the order in which they came; heartbeats are not among them.
    at: now, in UTC.
    """
    entries: list[Entry] = []
    for notice in notices:
        latest = history.of_alert(notice.alert.fingerprint)
        if notice.firing:
            entry = fires(history, latest, notice.alert, at, ALERTMANAGER, reopened_within)
        else:
            entry = _ends(latest, notice, at)
        if entry is not None:
            history.take(entry)
            entries.append(entry)
    return entries


def fires(
    history: History, latest: Incident | None, alert: Alert, at: datetime, who: str, reopened_within: timedelta
) -> Entry | None:
    """The line for an alert that fires."""
    if latest is None:
        return Entry(Kind.OPENED, at, who, history.next_id, alert)
    if latest.open:
        if at - latest.notified_at < REPEATS_NOTED_EVERY:
            return None
        return Entry(Kind.NOTIFIED_AGAIN, at, who, latest.id, latest.alert)
    # The same start: it never ceased, whoever said that it was resolved.
    same = alert.starts_at is not None and alert.starts_at == latest.alert.starts_at
    soon = latest.resolved_at is not None and at - latest.resolved_at <= reopened_within
    if same or soon:
        return Entry(Kind.REOPENED, at, who, latest.id, alert)
    return Entry(Kind.OPENED, at, who, history.next_id, alert)


def _ends(latest: Incident | None, notice: Notice, at: datetime) -> Entry | None:
    """The line for an alert that no longer fires, none where no incident of it is open."""
    if latest is None or not latest.open:
        return None
    started = latest.alert.starts_at
    if notice.ends_at and started and notice.ends_at < started:
        # It tells the end of an earlier firing, and comes late.
        return None
    return Entry(Kind.RESOLVED, at, ALERTMANAGER, latest.id, latest.alert, notice.ends_at)
