"""What was measured of a migration: its statements, their locks, and who waited. Plain, frozen values.

Times are milliseconds since the upgrade began, durations are milliseconds. Tables are named with their schema, as
they were called before the upgrade.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migration_gate.review.rehearsal.locks import LockMode

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
