"""The journal's lines: one fact each, and how it is written.

    {"seq":7,"at":"2026-11-27T21:08:50.143455Z","kind":"opened","who":"alertmanager","incident":3,…,"crc":"9f3c01aa"}

Every line about an incident names the alert too, so that no line needs an earlier one to be understood: should one
be damaged, the others still tell whose they are.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    OPENED = "opened"
    NOTIFIED_AGAIN = "notified_again"
    ACKNOWLEDGED = "acknowledged"
    NOTE = "note"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    DEPLOYMENT = "deployment"
    WATCHDOG_SEEN = "watchdog_seen"
    """The first heartbeat of a watchdog: from now on its absence is an incident."""
    JOURNAL_RECOVERED = "journal_recovered"
    """It can be written again, since when it could not be, and how often that failed."""
    PRUNED = "pruned"
    """Lines were taken off by a person's command."""


OF_AN_INCIDENT = frozenset(
    {Kind.OPENED, Kind.NOTIFIED_AGAIN, Kind.ACKNOWLEDGED, Kind.NOTE, Kind.RESOLVED, Kind.REOPENED}
)

# Who acts where no person does.
ALERTMANAGER = "alertmanager"
RECEIVER = "receiver"

# The fact of a resolution whose alert's end was found out and not told: since when Alertmanager has not had it.
GONE_SINCE = "gone_since"

# Whom the name of a person becomes that is forgotten.
FORGOTTEN = "(forgotten)"


class DamagedLine(ValueError):
    """A line that is no entry. The message says why and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is kept of an alert: an allowlist, see `webhook`."""

    fingerprint: str
    code: str
    labels: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """`runbook` and `dashboard`, where the alert names them."""
    starts_at: datetime | None = None

    @property
    def name(self) -> str:
        return self.labels.get("alertname", self.code)

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "unknown")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at` is the time in UTC at which it was decided; `seq` is 0 until the journal has written it."""

    kind: Kind
    at: datetime
    who: str
    incident: int | None = None
    alert: Alert | None = None
    ends_at: datetime | None = None
    text: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    """What only some kinds have: a deployment's version and commit, what was pruned, since when an alert was gone."""
    seq: int = 0

    def numbered(self, seq: int) -> Entry:
        return replace(self, seq=seq)

    def as_json(self) -> dict[str, Any]:
        """The line's object without its checksum; what is empty is left out."""
        alert = self.alert
        values = {
            "seq": self.seq,
            "at": time_text(self.at),
            "kind": self.kind.value,
            "who": self.who,
            "incident": self.incident,
            "code": alert and alert.code,
            "fingerprint": alert and alert.fingerprint,
            "labels": alert and alert.labels,
            "starts_at": time_text(alert.starts_at) if alert and alert.starts_at else None,
            "ends_at": time_text(self.ends_at) if self.ends_at else None,
            "links": alert and alert.links,
            "text": self.text,
            "facts": self.facts,
        }
        return {name: value for name, value in values.items() if value not in (None, "", {})}


def line_of(entry: Entry) -> bytes:
    """The line, its newline included; its last member is a CRC-32 of the object without it."""
    return sealed(json.dumps(entry.as_json(), separators=(",", ":")).encode()) + b"\n"


def sealed(content: bytes) -> bytes:
    """An object's JSON with its checksum as the last member."""
    return content[:-1] + _SEAL % zlib.crc32(content)


_SEAL = b',"crc":"%08x"}'
_SEAL_BYTES = len(_SEAL % 0)


def read_line(line: bytes) -> Entry:
    """The entry of a line. Raises DamagedLine."""
    content = line[:-_SEAL_BYTES] + b"}"
    if sealed(content) != line:
        raise DamagedLine("its checksum does not fit: a bit has flipped, or it was changed by hand")
    try:
        return _entry(json.loads(content))
    except DamagedLine:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise DamagedLine("it has not the fields of an entry") from None


def _entry(content: dict[str, Any]) -> Entry:
    try:
        kind = Kind(content["kind"])
    except ValueError:
        raise DamagedLine("its kind is not known to this release") from None
    alert = None
    if "fingerprint" in content:
        starts_at = content.get("starts_at")
        alert = Alert(
            content["fingerprint"],
            content["code"],
            _texts(content.get("labels", {})),
            _texts(content.get("links", {})),
            read_time(starts_at) if starts_at else None,
        )
    incident = content.get("incident")
    if kind in OF_AN_INCIDENT and (alert is None or not isinstance(incident, int) or incident < 1):
        raise DamagedLine("it does not say of which incident it is")
    ends_at = content.get("ends_at")
    return Entry(
        kind,
        read_time(content["at"]),
        str(content["who"]),
        incident,
        alert,
        read_time(ends_at) if ends_at else None,
        str(content.get("text", "")),
        _texts(content.get("facts", {})),
        int(content["seq"]),
    )


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()}


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def read_time(text: str) -> datetime:
    """A time of RFC 3339, in UTC, cut to microseconds. Raises ValueError."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError("this is no time of RFC 3339")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


def time_text(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
