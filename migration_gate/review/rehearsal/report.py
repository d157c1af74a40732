"""What a rehearsal found: plain, frozen values, and the JSON that they make.

Times are milliseconds since the upgrade began, durations are milliseconds. Tables are named with their schema, as
they were called before the upgrade. `as_dict` is the documented shape of `--json`: keys are only ever added to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from migration_gate.review.rehearsal.budget import Breach, Budget
from migration_gate.review.rehearsal.locks import LockMode

FORMAT = 1

WITHIN_BUDGET = "within_budget"
OVER_BUDGET = "over_budget"
FAILED = "failed"
NOTHING_TO_DO = "nothing_to_do"

# The first words of statements that define nothing: they write no table anew and build no index.
OF_ROWS = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "SET", "SHOW", "COMMENT", "GRANT", "REVOKE"}
)


@dataclass(frozen=True)
class Lock:
    """A lock that a statement took and no statement before it in its transaction had.

    It counts for the statement that took it until it was released, which inside a transaction is at its end.
    `index` is set where it is an index of the table that is locked. `waited_ms` is how long the migration itself
    waited for it.
    """

    table: str
    index: str | None
    mode: LockMode
    acquired_ms: float
    held_ms: float
    waited_ms: float

    @property
    def relation(self) -> str:
        return self.table if self.index is None else f"index {self.index} of {self.table}"

    @property
    def released_ms(self) -> float:
        return self.acquired_ms + self.held_ms


@dataclass(frozen=True)
class Rewrite:
    """A table whose rows were all written anew. `rows` is how many the source has, None where that is unknown."""

    table: str
    rows: int | None


@dataclass(frozen=True)
class Scan:
    """A table that was read from its beginning.

    `rows_read` was measured in the rehearsal; `source_rows` is an estimate, from the source's statistics. `under` is
    the strongest lock that keeps others out and that the migration held on the table meanwhile, or None.
    """

    table: str
    scans: int
    rows_read: int
    source_rows: int | None
    under: LockMode | None


@dataclass(frozen=True)
class MigratorWait:
    """How long a statement of the migration waited for others, on what, and who they were."""

    event: str
    ms: float
    behind: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement that a migration executed.

    `sql` holds placeholders, never the values bound to them. `scans` is None where it could not be measured: outside a
    transaction PostgreSQL does not keep a session's own counters apart.
    """

    number: int
    revision: str | None
    file: str | None
    line: int | None
    sql: str
    in_transaction: bool
    started_ms: float
    duration_ms: float
    sqlstate: str | None = None
    locks: tuple[Lock, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    indexes_built: tuple[str, ...] = ()
    scans: tuple[Scan, ...] | None = None
    migrator_waits: tuple[MigratorWait, ...] = ()

    @property
    def strongest_lock(self) -> Lock | None:
        return max(self.locks, key=lambda lock: (lock.mode, lock.held_ms), default=None)

    @property
    def keyword(self) -> str:
        """What it begins with, in capitals: `ALTER TABLE`, `CREATE INDEX`; UNIQUE and CONCURRENTLY are left out."""
        return " ".join([word for word in self._words if word != "UNIQUE"][:2])

    @property
    def reads_all(self) -> bool:
        """Whether what it scans it must read to its end, whatever the planner would choose for a full table."""
        first = self.keyword.partition(" ")[0]
        return first not in OF_ROWS or (first in {"UPDATE", "DELETE"} and "WHERE" not in self._words)

    @property
    def _words(self) -> list[str]:
        return re.sub(r"--[^\n]*|/\*.*?\*/", " ", self.sql, flags=re.S).upper().split()


@dataclass(frozen=True)
class Wait:
    """A query of a synthetic reader or writer that waited behind the migration.

    `kind` is read or write. `at_least` tells that the query gave up before it was let through.
    """

    table: str
    kind: str
    statement: int | None
    started_ms: float
    ms: float
    at_least: bool


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
