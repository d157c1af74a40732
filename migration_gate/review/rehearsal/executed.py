"""A statement and its locks while their story is put together; times are seconds of `time.monotonic`."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration_gate.review.rehearsal.catalog import Relation
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.measured import Scan
from migration_gate.review.rehearsal.migration import Event


@dataclass
class Taken:
    """A lock from the moment it was had until it was given back (seconds)."""

    relation: Relation
    mode: LockMode
    acquired: float
    released: float
    waited: float


@dataclass
class Executed:
    """A statement while its story is put together."""

    event: Event
    ended: float
    sqlstate: str | None = None
    taken: list[Taken] = field(default_factory=list)
    scans: list[Scan] | None = None
    rewritten: list[Relation] = field(default_factory=list)
    built: list[str] = field(default_factory=list)

    @property
    def started(self) -> float:
        return float(self.event["at"])

    @property
    def number(self) -> int:
        return int(self.event["number"])
