"""What a rehearsal may cost, and the sentences for whoever spends more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migration_gate.review.rehearsal.measured import Scan, Statement, Wait
from migration_gate.review.rehearsal.wording import duration, number

LINT = "see migration-gate lint, which prints the safe form in your own names"

# What has a form that keeps nobody out.
_CONCURRENTLY = {"CREATE INDEX", "DROP INDEX", "REINDEX INDEX", "REINDEX TABLE"}


@dataclass(frozen=True)
class Budget:
    """The limits; a value above one is a breach, a value equal to it is not.

    `lock_ms`: how long a lock that keeps reads or writes out of a table may be held. `wait_ms`: how long any query of
    a synthetic reader or writer may wait behind the migration. `rewrite_rows`: how many rows a table may have at
    the source that is rewritten, or read to its end while others are kept out. `duration_s`: the whole
    upgrade, None for no limit.
    """

    lock_ms: float = 500.0
    wait_ms: float = 500.0
    rewrite_rows: int = 10_000
    duration_s: float | None = None


@dataclass(frozen=True)
class Breach:
    """A limit that was exceeded.

    `code` is lock_held, query_waited, table_rewritten, table_scanned or duration; `statement` its number, None for the
    upgrade as a whole; `measured` and `limit` are in the unit that the code implies (ms, rows, s). `measured` is None
    where nobody knows how many rows the source has: unknown is not within a budget.
    """

    code: str
    statement: int | None
    revision: str | None
    table: str | None
    measured: float | None
    limit: float
    message: str
    solution: str


def breaches(
    statements: tuple[Statement, ...], waits: tuple[Wait, ...], duration_ms: float, budget: Budget
) -> tuple[Breach, ...]:
    """All breaches, statement by statement, the upgrade's own last."""
    found = [breach for statement in statements for breach in _of_statement(statement, waits, budget)]
    if budget.duration_s is not None and duration_ms > budget.duration_s * 1000:
        found.append(
            Breach(
                "duration",
                None,
                None,
                None,
                duration_ms / 1000,
                budget.duration_s,
                f"The upgrade took {duration(duration_ms)}; the budget is {duration(budget.duration_s * 1000)}.",
                "move what takes long into revisions of their own, outside the deployment",
            )
        )
    return tuple(found)


def _of_statement(statement: Statement, waits: tuple[Wait, ...], budget: Budget) -> Iterator[Breach]:
    for lock in statement.locks:
        if lock.mode.blocks and lock.held_ms > budget.lock_ms:
            yield Breach(
                "lock_held",
                statement.number,
                statement.revision,
                lock.table,
                round(lock.held_ms, 1),
                budget.lock_ms,
                f"{lock.mode.label} on {lock.relation} was held for {duration(lock.held_ms)}: all {lock.mode.blocks} of"
                f" the table stand still that long (budget {duration(budget.lock_ms)}).",
                _shorten(statement),
            )
    yield from _waited(statement, waits, budget)
    for rewrite in statement.rewrites:
        if rewrite.rows is None or rewrite.rows > budget.rewrite_rows:
            yield Breach(
                "table_rewritten",
                statement.number,
                statement.revision,
                rewrite.table,
                rewrite.rows,
                budget.rewrite_rows,
                f"{rewrite.table} is written anew, with all its indexes: {_rows(rewrite.rows)}"
                f" (budget {number(budget.rewrite_rows)}), and nobody reads or writes it meanwhile.",
                f"add a new column or table, copy in batches, then switch over; {LINT}",
            )
    rewritten = {rewrite.table for rewrite in statement.rewrites}
    for scan in statement.scans or ():
        # Whoever rewrites a table also reads it: that is told once.
        if statement.reads_all and scan.under and scan.table not in rewritten and _too_many(scan, budget):
            yield Breach(
                "table_scanned",
                statement.number,
                statement.revision,
                scan.table,
                scan.source_rows,
                budget.rewrite_rows,
                f"{scan.table} is read to its end under {scan.under.label}: {_rows(scan.source_rows)}"
                f" (budget {number(budget.rewrite_rows)}), and its {scan.under.blocks} stand still meanwhile.",
                _scan_solution(statement),
            )


def _waited(statement: Statement, waits: tuple[Wait, ...], budget: Budget) -> Iterator[Breach]:
    """One breach a statement, for its longest wait: a thousand queries that wait together are one event."""
    late = [wait for wait in waits if wait.statement == statement.number and wait.ms > budget.wait_ms]
    if late:
        worst = max(late, key=lambda wait: wait.ms)
        yield Breach(
            "query_waited",
            statement.number,
            statement.revision,
            worst.table,
            round(worst.ms, 1),
            budget.wait_ms,
            f"A {worst.kind} of {worst.table} waited {'at least ' if worst.at_least else ''}{duration(worst.ms)} behind"
            f" this statement{f', and {len(late) - 1} more waited too long' if len(late) > 1 else ''}"
            f" (budget {duration(budget.wait_ms)}).",
            _shorten(statement),
        )


def _too_many(scan: Scan, budget: Budget) -> bool:
    rows = scan.source_rows
    return rows is None or rows > budget.rewrite_rows


def _rows(rows: int | None) -> str:
    return "nobody knows how many rows" if rows is None else f"{number(rows)} rows at the source"


def _shorten(statement: Statement) -> str:
    if statement.keyword in _CONCURRENTLY:
        return f"{statement.keyword} CONCURRENTLY in op.get_context().autocommit_block(); {LINT}"
    if statement.in_transaction:
        return (
            "a lock is held until its transaction ends: put the statement last, or in a revision of its own, and keep"
            f" slow work out of its transaction; {LINT}"
        )
    return LINT


def _scan_solution(statement: Statement) -> str:
    if statement.keyword in _CONCURRENTLY:
        return f"{statement.keyword} CONCURRENTLY in op.get_context().autocommit_block(); {LINT}"
    return f"add the constraint as NOT VALID and VALIDATE CONSTRAINT in a later revision; {LINT}"
