"""What Alertmanager did not tell, found by comparing what it has with what is open. No clock and no network here.

It tells no end of an alert that ends while an inhibition or a silence mutes it, nor of one that ends while Alertmanager
itself is being started again. And where it told no end, it takes the alert's return for the same firing, which it
notifies again only after its repeat_interval: so a return is looked for as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from taskmanager.incidents.decisions import decide
from taskmanager.incidents.entries import ALERTMANAGER, GONE_SINCE, Alert, Entry, Kind, time_text
from taskmanager.incidents.history import History, Incident
from taskmanager.incidents.silences import raised_here
from taskmanager.incidents.webhook import Notice, read_alert

# As long as the longest usual repeat_interval, several times: by then Alertmanager has told of the return itself.
RETURN_AWAITED_FOR = timedelta(days=1)

_RETURNED = "Alertmanager did not tell it; asked, it has the alert again"


@dataclass(frozen=True, slots=True)
class Held:
    """What Alertmanager has: by fingerprint all alerts, and those of them that nothing mutes."""

    alerts: dict[str, Alert]
    active: frozenset[str]
    watchdog: bool


class NotAlertmanager(ValueError):
    """An answer that is not the one that Alertmanager gives."""


def read_held(content: Any) -> Held:
    """The answer of Alertmanager's /api/v2/alerts. Raises NotAlertmanager."""
    if not isinstance(content, list):
        raise NotAlertmanager
    try:
        notices = [(Notice(read_alert(each), firing=True), each["status"]["state"]) for each in content]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotAlertmanager from None
    alerts = {notice.alert.fingerprint: notice.alert for notice, _ in notices}
    active = frozenset(notice.alert.fingerprint for notice, state in notices if state == "active")
    return Held(alerts, active, any(notice.watchdog for notice, _ in notices))


@dataclass(frozen=True, slots=True)
class _Missed:
    """The first of the looks in a row that did not find an alert: by the clock that measures, and by the wall's."""

    seconds: float
    at: datetime


class Absences:
    """What was missed at the looks before this one.

    `gone_after_s`: for so long, and at two looks at least, Alertmanager must not have had an alert that is over.
    """

    def __init__(self, gone_after_s: float) -> None:
        self.gone_after_s = gone_after_s
        # With `since`: one that was reopened between two looks is missed anew.
        self._missed: dict[tuple[int, datetime], _Missed] = {}

    def forget(self) -> None:
        """A look found nothing out: those that count are in a row."""
        self._missed.clear()

    def ended(self, history: History, held: Held, at: datetime, now: float) -> list[Entry]:
        """The lines that resolve what is over.

        Parameters
        ----------
        at: now, in UTC.
        now: the same in seconds, by a clock that nobody sets (`time.monotonic`).
        """
        missing = [incident for incident in _open(history) if incident.alert.fingerprint not in held.alerts]
        before, self._missed = self._missed, {}
        entries = []
        for incident in missing:
            key = incident.id, incident.since
            first = self._missed[key] = before.get(key) or _Missed(now, at)
            if key in before and now - first.seconds >= self.gone_after_s:
                entries.append(_gone(incident, first.at, at))
        return entries


def _gone(incident: Incident, since: datetime, at: datetime) -> Entry:
    text = f"Alertmanager did not tell the alert's end; asked, it has not had it since {since:%Y-%m-%d %H:%M:%S} UTC"
    facts = {GONE_SINCE: time_text(since)}
    return Entry(Kind.RESOLVED, at, ALERTMANAGER, incident.id, incident.alert, text=text, facts=facts)


def returned(history: History, held: Held, at: datetime, reopened_within: timedelta) -> list[Entry]:
    """The lines for alerts whose untold end was found out, and that are there again.

    One that is muted now is not told of, as ever, unless it is the same firing: then it never ended.
    """
    notices = []
    for incident in _awaited(history, at):
        alert = held.alerts.get(incident.alert.fingerprint)
        if alert is None:
            continue
        same = alert.starts_at is not None and alert.starts_at == incident.alert.starts_at
        if same or alert.fingerprint in held.active:
            notices.append(Notice(alert, firing=True))
    return [replace(entry, text=_RETURNED) for entry in decide(history, notices, at, reopened_within)]


def worth_asking(history: History, at: datetime) -> bool:
    """Whether an answer of Alertmanager could tell anything."""
    return any(_open(history)) or any(_awaited(history, at))


def _open(history: History) -> Iterator[Incident]:
    """Those that Alertmanager opened: it knows nothing of the dead man's switch."""
    for incident in history.incidents.values():
        if incident.open and not raised_here(incident.alert):
            yield incident


def _awaited(history: History, at: datetime) -> Iterator[Incident]:
    for id_ in history.latest.values():
        incident = history.incidents.get(id_)
        if incident is None or incident.resolved_at is None or at - incident.resolved_at > RETURN_AWAITED_FOR:
            continue
        if incident.end_found_out:
            yield incident
