"""Asking Alertmanager what it muted: silences, and alerts that others inhibit.

Who made a silence and why is left out: both are words of people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from taskmanager.incidents import web
from taskmanager.incidents.entries import read_time
from taskmanager.incidents.postmortem.timeline import Event, Origin, SourceFailed, Window
from taskmanager.incidents.webhook import KEPT_LABELS


def events(url: str, incident: dict[str, Any], window: Window) -> list[Event]:
    """The rows. Alertmanager keeps silences for some days, and of alerts only those that still fire.

    Raises
    ------
    SourceFailed: it does not answer.
    """
    silences = _ask(url, "/api/v2/silences")
    alerts = _ask(url, "/api/v2/alerts")
    try:
        found = [*_silences(silences, incident["labels"]), *_muted(alerts)]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SourceFailed("its answer is not that of Alertmanager") from None
    return [event for event in found if window.holds(event.at)]


def _ask(url: str, path: str) -> list[dict[str, Any]]:
    try:
        answer = web.ask(url.rstrip("/") + path)
    except web.Unreachable as error:
        raise SourceFailed(str(error)) from None
    if answer.status != 200 or not isinstance(answer.content, list):
        raise SourceFailed(f"it answered {answer.status}")
    return answer.content


def _silences(silences: list[dict[str, Any]], labels: dict[str, str]) -> Iterator[Event]:
    for silence in silences:
        covers = all(_fits(matcher, labels) for matcher in silence["matchers"])
        key = "silence_of_this" if covers else "silence_of_others"
        matchers = ", ".join(_told(matcher) for matcher in silence["matchers"])
        yield Event(
            read_time(silence["startsAt"]), Origin.ALERTMANAGER, f"{key}_began", {"matchers": matchers}, mends=False
        )
        if silence["status"]["state"] == "expired":
            yield Event(read_time(silence["endsAt"]), Origin.ALERTMANAGER, f"{key}_ended", {"matchers": matchers})


def _fits(matcher: dict[str, Any], labels: dict[str, str]) -> bool:
    value = labels.get(matcher["name"], "")
    if matcher["isRegex"]:
        try:
            found = re.fullmatch(matcher["value"], value) is not None
        except re.error:  # Go's expressions are not all Python's
            found = False
    else:
        found = value == matcher["value"]
    return found is matcher.get("isEqual", True)


def _told(matcher: dict[str, Any]) -> str:
    """A matcher as it is written; the value of a label that is not kept is not told."""
    name = str(matcher["name"])
    operator = {(False, True): "=", (True, True): "=~", (False, False): "!=", (True, False): "!~"}[
        (bool(matcher["isRegex"]), bool(matcher.get("isEqual", True)))
    ]
    known = name in KEPT_LABELS and "@" not in matcher["value"]
    return f'{name}{operator}"{matcher["value"] if known else "…"}"'


def _muted(alerts: list[dict[str, Any]]) -> Iterator[Event]:
    names = {alert["fingerprint"]: alert["labels"].get("alertname", "?") for alert in alerts}
    for alert in alerts:
        causes = sorted({names.get(cause, "?") for cause in alert["status"]["inhibitedBy"]})
        if causes:
            values = {"alert": names[alert["fingerprint"]], "causes": ", ".join(causes)}
            yield Event(read_time(alert["startsAt"]), Origin.ALERTMANAGER, "muted", values)
