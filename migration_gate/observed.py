"""What was read of a database, without any judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class BrokenStatement:
    """A statement of the application that this database cannot run."""

    name: str
    sqlstate: str
    message: str


@dataclass(frozen=True)
class LastRun:
    """The newest run that the ledger knows.

    `result` is `running`, `succeeded` or `failed`, and `abandoned` where a run says that it is running and nobody
    holds the migration lock: its migrator was killed. `error` is why it failed, without any value out of the data.
    """

    command: str
    result: str
    started_at: str = ""
    error: str | None = None


@dataclass(frozen=True)
class RunTotal:
    """All runs of a command that ended in one way; times in seconds, `last_ended_at` since 1970."""

    command: str
    result: str
    runs: int
    seconds: float = 0.0
    lock_wait_s: float = 0.0
    lock_retries: int = 0
    last_ended_at: float | None = None


@dataclass(frozen=True)
class Applied:
    """What the ledger last noted of a revision.

    `action` is upgrade, downgrade, stamp, unstamp, baseline or accept. `minimum_code` is the oldest head whose code
    runs on the schema since, None where nothing is known to break older code.
    """

    parents: tuple[str, ...]
    action: str = "upgrade"
    checksum: str | None = None
    phase: str | None = None
    minimum_code: str | None = None
    release: str | None = None
    applied_by: str = ""
    applied_at: str = ""


@dataclass(frozen=True)
class UnfinishedStep:
    """A statement outside a transaction, of a revision that was never completed.

    `ended` tells whether PostgreSQL had answered it; `error` what it answered, where it refused.
    """

    revision: str
    number: int
    statement: str
    began_at: str
    ended: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Running:
    """A migrator at work: it holds the migration lock now.

    `name` is its host and process, `started_at` an aware time, `planned` the number of revisions of its run, `done`
    how many of them are applied, and `revision` the one under way, None between two.
    """

    name: str
    started_at: datetime
    planned: int
    done: int
    revision: str | None = None


@dataclass(frozen=True)
class Override:
    """Traffic is let through whatever the verdict, on somebody's word, until `until` (an aware time)."""

    until: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class Observed:
    """One look at a database.

    `revisions` are the rows of the version table, empty where there is none. `applied` maps each revision that the
    ledger has seen to what it last noted: it is how old code can place a revision that it has never heard of.
    `broken_statements` are what the last proof found, and `statements_proven` tells whether that was of this schema.
    `ledger_format` is 0 where there is no ledger that this role may read, and `project` whose it is.
    `unusable_schema` is a schema that the role would look in and may not use. `elsewhere` maps schemas in which this
    session does not look, and which hold a version table of the same name, to the revisions in it. `drift` are the
    differences from the catalog that the last run left, None where there is nothing to compare with or nobody looked.
    """

    database: str
    role: str
    has_version_table: bool
    version_table_readable: bool
    has_other_tables: bool
    revisions: tuple[str, ...] = ()
    applied: Mapping[str, Applied] = field(default_factory=dict)
    statements_proven: bool = False
    broken_statements: tuple[BrokenStatement, ...] = ()
    last_run: LastRun | None = None
    runs: tuple[RunTotal, ...] = ()
    running: Running | None = None
    override: Override | None = None
    ledger_format: int = 0
    project: str | None = None
    unusable_schema: str | None = None
    elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfinished: tuple[UnfinishedStep, ...] = ()
    invalid_indexes: tuple[str, ...] = ()
    unvalidated_constraints: tuple[str, ...] = ()
    drift: tuple[str, ...] | None = None

    @property
    def lineage(self) -> Mapping[str, tuple[str, ...]]:
        """The edges of the revision graph that the ledger knows, child to parents."""
        return {revision: applied.parents for revision, applied in self.applied.items()}
