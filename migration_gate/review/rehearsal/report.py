"""What a rehearsal found: plain, frozen values, and the JSON that they make.

Times are milliseconds since the upgrade began, durations are milliseconds. Tables are named with their schema, as
they were called before the upgrade. `as_dict` is the documented shape of `--json`: keys are only ever added to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from migration_gate.review.rehearsal.budget import Breach, Budget
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.measured import Lock, Statement, Wait

FORMAT = 1

WITHIN_BUDGET = "within_budget"
OVER_BUDGET = "over_budget"
FAILED = "failed"
NOTHING_TO_DO = "nothing_to_do"


@dataclass(frozen=True)
class TableRows:
    """How many rows a table has at the source and how many it had in the rehearsal.

    `known_from` is reltuples, n_live_tup or nothing. `problem` says why rows were asked for and are not there.
    """

    table: str
    source_rows: int | None
    known_from: str
    rows: int
    problem: str | None = None


@dataclass(frozen=True)
class Traffic:
    """The synthetic load: queries, tables and connections; and how often locks were sampled meanwhile."""

    queries: int = 0
    tables: int = 0
    connections: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Failure:
    """Why the migration failed: the revision, where known, and PostgreSQL's primary message, without any value."""

    message: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None
    sqlstate: str | None = None
    solution: str = ""


@dataclass(frozen=True)
class Place:
    """A database: its address without a password, and its server's version."""

    address: str
    server_version: str


@dataclass(frozen=True)
class Report:
    """A whole rehearsal.

    `database` is the temporary database's name, and `kept` whether it is still there. `observing_ms` is what part of
    the upgrade's duration, and of its locks', went into asking the migrating session what it holds.
    """

    source: Place
    scratch: Place
    database: str
    kept: bool
    data: str
    statistics: str
    budget: Budget
    revisions: tuple[str, ...]
    duration_ms: float
    observing_ms: float
    statements: tuple[Statement, ...]
    waits: tuple[Wait, ...]
    tables: tuple[TableRows, ...]
    traffic: Traffic
    breaches: tuple[Breach, ...] = ()
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    format: int = field(default=FORMAT)

    @property
    def outcome(self) -> str:
        if self.failure is not None:
            return FAILED
        if self.breaches:
            return OVER_BUDGET
        return WITHIN_BUDGET if self.revisions else NOTHING_TO_DO

    def waits_behind(self, statement: Statement) -> tuple[Wait, ...]:
        return tuple(wait for wait in self.waits if wait.statement == statement.number)

    def as_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"format": self.format, "outcome": self.outcome} | _plain(self)
        for entry, statement in zip(document["statements"], self.statements, strict=True):
            strongest = statement.strongest_lock
            waits = self.waits_behind(statement)
            entry["strongest_lock"] = None if strongest is None else _plain(strongest)
            entry["waits"] = {
                "readers": sum(wait.kind == "read" for wait in waits),
                "writers": sum(wait.kind == "write" for wait in waits),
                "longest_ms": max((wait.ms for wait in waits), default=0.0),
            }
        return document


def _plain(value: Any) -> Any:
    if isinstance(value, LockMode):
        return value.label
    if is_dataclass(value):
        entries = {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
        if isinstance(value, Lock):
            entries["blocks"] = value.mode.blocks
        return entries
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(value, 1) if isinstance(value, float) else value
