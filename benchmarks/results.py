"""The result of a run, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.cold_start import ColdStart
from benchmarks.machine import Machine
from benchmarks.observability import Observability
from benchmarks.overload import Overload
from benchmarks.paging import Paging
from benchmarks.targets import (
    Target,
    cold_start_targets,
    observability_targets,
    overload_targets,
    paging_targets,
    throughput_targets,
)
from benchmarks.throughput import Outcome

THROUGHPUT, PAGING, COLD_START, OVERLOAD, OBSERVABILITY = SECTIONS = (
    "throughput",
    "paging",
    "cold-start",
    "overload",
    "observability",
)


@dataclass
class Result:
    """A run: its circumstances, and what each section found. One that did not run, or failed, is None.

    Parameters
    ----------
    began: when, as RFC 3339 in UTC.
    command: how it was started.
    options: rounds, seconds and the like.
    asked: the sections that were to run.
    server_settings: PostgreSQL's, by name.
    missing: by section, what could not be had here and how to get it.
    failed: by section, why it has no result.
    """

    began: str
    command: str
    commit: str
    machine: Machine
    versions: Mapping[str, str]
    options: Mapping[str, object]
    server_settings: Mapping[str, str]
    asked: tuple[str, ...] = SECTIONS
    duration_s: float = 0.0
    outcomes: dict[str, Outcome] | None = None
    paging: Paging | None = None
    cold_start: ColdStart | None = None
    overload: Overload | None = None
    observability: Observability | None = None
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def targets(self) -> list[Target]:
        """Every target of the sections that were to run; of one without a result, with the reason."""
        of = {
            THROUGHPUT: throughput_targets(self.outcomes or {}),
            PAGING: paging_targets(self.paging or Paging()),
            COLD_START: cold_start_targets(self.cold_start or ColdStart({})),
            OVERLOAD: overload_targets(self.overload or Overload({}, 0, 0.0, 0)),
            OBSERVABILITY: observability_targets(self.observability or Observability()),
        }
        why_not = self.missing | self.failed
        return [
            replace(target, why_not=why_not.get(section, target.why_not))
            for section in self.asked
            for target in of[section]
        ]

    def void(self) -> dict[str, str]:
        """Why a figure is void, by contestant or section."""
        told = {name: outcome.void for name, outcome in (self.outcomes or {}).items() if outcome.void}
        told |= self.failed
        if self.paging:
            told |= {f"paging, sort={sort}": reason for sort, reason in self.paging.void.items()}
        if self.cold_start and self.cold_start.void:
            told["cold-start"] = self.cold_start.void
        return told

    def absent(self) -> dict[str, str]:
        """What is missing here, by contestant or section."""
        contestants = {name: outcome.missing for name, outcome in (self.outcomes or {}).items() if outcome.missing}
        return self.missing | contestants
