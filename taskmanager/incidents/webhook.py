"""Alertmanager's webhook, version 4, and what is kept of it.

Kept is an allowlist, and of that only what looks like a name: whoever writes a rule can put anything into a label, an
annotation or a template, an e-mail address of a user, say, and a journal keeps for years.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskmanager.incidents.entries import Alert, read_time

VERSION = "4"

KEPT_LABELS = (
    "alertname",
    "severity",
    "service",
    "env",
    "code",
    "kind",
    "state",
    "reason",
    "result",
    "metric",
    "integration",
    "job",
    "instance",
    "handler",
    "method",
    "operation",
    "long",
)
_ANNOTATED_LINKS = {"runbook": "runbook_url", "dashboard": "dashboard_url"}

_NAME = re.compile(r"[A-Za-z0-9_.:/{}\[\]-]{1,128}", re.ASCII)
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
# Neither user information, nor a query, which may name a person.
_LINK = re.compile(r"(https?://[A-Za-z0-9.:\[\]-]+)?[A-Za-z0-9._~/-]{1,300}(#[A-Za-z0-9._-]{0,100})?", re.ASCII)

WATCHDOG = "watchdog"


class BadWebhook(ValueError):
    """A body that is no notification. `code` is stable; the message says what is wrong and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert of a notification."""

    alert: Alert
    firing: bool
    ends_at: datetime | None = None

    @property
    def watchdog(self) -> bool:
        return self.alert.code == WATCHDOG or self.alert.name == "Watchdog"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a body, and where: a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Notification:
    """What a body says. Its good alerts count though others are faulty: Alertmanager does not repeat a 4xx."""

    notices: tuple[Notice, ...]
    faults: tuple[Fault, ...] = ()


def read_notification(body: bytes) -> Notification:
    """Read a body. Raises BadWebhook where nothing of it can be understood."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise BadWebhook("malformed_json", "The body could not be read as JSON in UTF-8.") from None
    if not isinstance(content, dict):
        raise BadWebhook("no_notification", "The body must be a JSON object, as Alertmanager's webhook sends it.")
    if content.get("version") != VERSION:
        raise BadWebhook(
            "unknown_version",
            f'The body must say "version": "{VERSION}"; no other version of Alertmanager\'s webhook is understood.',
        )
    alerts = content.get("alerts")
    if not isinstance(alerts, list) or not alerts:
        raise BadWebhook("no_notification", "alerts must be a list with at least one alert.")
    notices: list[Notice] = []
    faults: list[Fault] = []
    for place, alert in enumerate(alerts):
        try:
            notices.append(_notice(alert))
        except _Faulty as fault:
            faults.append(Fault(f"#/alerts/{place}{fault.pointer}", str(fault)))
    return Notification(tuple(notices), tuple(faults))


class _Faulty(ValueError):
    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


def _notice(alert: Any) -> Notice:
    if not isinstance(alert, dict):
        raise _Faulty("", "An alert must be an object.")
    status = alert.get("status")
    if status not in ("firing", "resolved"):
        raise _Faulty("/status", "It must be firing or resolved.")
    return Notice(read_alert(alert), status == "firing", _time(alert, "endsAt"))


def read_alert(alert: dict[str, Any]) -> Alert:
    """What is kept of an alert as Alertmanager writes it, in a webhook as in its API. Raises ValueError."""
    fingerprint = alert.get("fingerprint")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise _Faulty("/fingerprint", "It must be the hexadecimal digits that Alertmanager gives to an alert.")
    labels = _kept(_texts(alert, "labels"))
    annotations = _texts(alert, "annotations")
    links = {
        name: annotations[annotation]
        for name, annotation in _ANNOTATED_LINKS.items()
        if _LINK.fullmatch(annotations.get(annotation, ""))
    }
    return Alert(fingerprint, _code(labels), labels, links, _time(alert, "startsAt"))


def _texts(alert: dict[str, Any], name: str) -> dict[str, str]:
    values = alert.get(name, {})
    if not isinstance(values, dict):
        raise _Faulty(f"/{name}", "It must be an object.")
    return {key: value for key, value in values.items() if isinstance(value, str)}


def _kept(labels: dict[str, str]) -> dict[str, str]:
    return {name: labels[name] for name in KEPT_LABELS if _NAME.fullmatch(labels.get(name, ""))}


def _code(labels: dict[str, str]) -> str:
    code = labels.get("code", "")
    if _CODE.fullmatch(code):
        return code
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", labels.get("alertname", "")).lower()
    return snake if _CODE.fullmatch(snake) else "unknown"


def _time(alert: dict[str, Any], name: str) -> datetime | None:
    text = alert.get(name)
    if text is None:
        return None
    try:
        at = read_time(text)
    except ValueError:
        raise _Faulty(f"/{name}", "It must be a time of RFC 3339.") from None
    # Go's zero time: an alert that fires has no end yet.
    return at if at.year > 1 else None
