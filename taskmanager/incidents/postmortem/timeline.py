"""Rows of a timeline, in no language yet, and what the sources had to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class SourceFailed(Exception):
    """A source did not answer, or with what is no answer. The message says why."""


class Origin(StrEnum):
    """Where a row comes from."""

    JOURNAL = "journal"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    LEDGER = "ledger"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Event:
    """One row. `key` names the sentence that a language has for it, `values` fill it in."""

    at: datetime
    origin: Origin
    key: str
    values: dict[str, str] = field(default_factory=dict)

    mends: bool = False
    """A change to the system that can have ended an incident: a deployment, a migration that succeeded."""


class Asked(StrEnum):
    ANSWERED = "answered"
    IN_PART = "in_part"
    """Some of what it was asked failed."""
    SILENT = "silent"
    """It answered, and knows nothing of this time."""
    UNREACHABLE = "unreachable"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Source:
    """What became of asking a source. `reason` says why it could not be reached."""

    origin: Origin
    asked: Asked
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is looked at, in UTC, and how far apart the looks are, in seconds."""

    start: datetime
    end: datetime
    step_s: float

    def holds(self, at: datetime) -> bool:
        return self.start <= at <= self.end


def in_order(events: Iterable[Event]) -> list[Event]:
    """By time; what happened at once stays in the order of its sources, what measured before what was told."""
    order = (Origin.PROMETHEUS, Origin.LEDGER, Origin.SERVICE, Origin.ALERTMANAGER, Origin.JOURNAL)
    return sorted(events, key=lambda event: (event.at, order.index(event.origin)))
