"""The report for people: a table of statements, what exceeds the budget and what to do, and what to bear in mind."""

from __future__ import annotations

from collections.abc import Iterator

from migration_gate.review.rehearsal.budget import Breach
from migration_gate.review.rehearsal.measured import Lock, Statement
from migration_gate.review.rehearsal.report import FAILED, NOTHING_TO_DO, OVER_BUDGET, Report
from migration_gate.review.rehearsal.wording import counted, duration, number, one_line

_RED, _YELLOW, _GREEN, _FAINT, _PLAIN = "\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[0m"

_HEADINGS = ("#", "revision", "ran", "lock", "on", "held", "waited behind it", "rows", "statement")
_TO_THE_RIGHT = {0, 2, 5}
STATEMENT_WIDTH = 60


def as_text(report: Report, *, colour: bool = False) -> str:
    """The report, ending with its verdict; `colour` for terminals that understand ANSI's sequences."""
    paint = _Paint(colour)
    blocks = [_header(report)]
    if report.statements:
        blocks.append(_table(report, paint))
    blocks += [_problems(report), _breaches(report, paint), _notes(report), _verdict(report, paint)]
    return "\n\n".join(block for block in blocks if block)


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._on and code else text


def _header(report: Report) -> str:
    lines = [
        f"source     {report.source.address}  (PostgreSQL {report.source.server_version}, only read)",
        f"rehearsed  {report.scratch.address}  (PostgreSQL {report.scratch.server_version}, a temporary database)",
        f"statistics {report.statistics}",
    ]
    if report.data == "none":
        lines.append(
            "data       none: durations are those of empty tables; row counts, not durations, judge rewrites and scans"
        )
    else:
        made = sum(table.rows for table in report.tables)
        lines.append(f"data       {report.data}: {number(made)} rows made up, none copied")
    traffic = report.traffic
    lines.append(
        f"load       {number(traffic.queries)} queries of readers and writers on"
        f" {counted(traffic.tables, 'table')}, {counted(traffic.connections, 'connection')}; locks sampled"
        f" {number(traffic.samples)} times; observing took {duration(report.observing_ms)} of the upgrade"
    )
    return "\n".join(lines)


def _table(report: Report, paint: _Paint) -> str:
    rows: list[tuple[str, ...]] = [_HEADINGS]
    colours = [_FAINT]
    over = {breach.statement for breach in report.breaches}
    for statement in report.statements:
        for cells in _rows(report, statement):
            rows.append(cells)
            blocking = any(lock.mode.blocks for lock in statement.locks)
            colours.append(_RED if statement.number in over or statement.sqlstate else _YELLOW if blocking else "")
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = []
    for row, code in zip(rows, colours, strict=True):
        aligned = [
            cell.rjust(width) if column in _TO_THE_RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(paint(code, "  ".join(aligned).rstrip()))
    return "\n".join(lines)


def _rows(report: Report, statement: Statement) -> Iterator[tuple[str, ...]]:
    """A line for the strongest lock and the statement itself, and one for each further lock that blocks somebody."""
    strongest = statement.strongest_lock
    others = [lock for lock in statement.locks if lock is not strongest and lock.mode.blocks]
    ran = duration(statement.duration_ms) + (" failed" if statement.sqlstate else "")
    yield (
        str(statement.number),
        statement.revision or "",
        ran,
        *_lock_cells(strongest),
        _waits(report, statement),
        _effects(statement),
        one_line(statement.sql, STATEMENT_WIDTH),
    )
    for lock in others:
        yield ("", "", "", *_lock_cells(lock), "", "", "")


def _lock_cells(lock: Lock | None) -> tuple[str, str, str]:
    return ("", "", "") if lock is None else (lock.mode.label, lock.relation, duration(lock.held_ms))


def _waits(report: Report, statement: Statement) -> str:
    waits = report.waits_behind(statement)
    if not waits:
        return ""
    kinds = [
        f"{count} {kind}{'s' if count > 1 else ''}"
        for kind in ("read", "write")
        if (count := sum(wait.kind == kind for wait in waits))
    ]
    return f"{', '.join(kinds)}, up to {duration(max(wait.ms for wait in waits))}"


def _effects(statement: Statement) -> str:
    rewritten = {rewrite.table for rewrite in statement.rewrites}
    told = [f"rewrites {_count(rewrite.rows)}" for rewrite in statement.rewrites]
    told += [f"reads {_count(scan.source_rows)}" for scan in statement.scans or () if scan.table not in rewritten]
    return ", ".join(told)


def _count(rows: int | None) -> str:
    return "?" if rows is None else number(rows)


def _problems(report: Report) -> str:
    lines = [f"  {table.table}: {table.rows} rows, {table.problem}" for table in report.tables if table.problem]
    return "\n".join(["rows that could not be made up:", *lines]) if lines else ""


def _breaches(report: Report, paint: _Paint) -> str:
    lines: list[str] = []
    for position, breach in enumerate(report.breaches):
        lines.append(paint(_RED, f"over budget: {_where(report, breach)}{breach.message}"))
        following = report.breaches[position + 1] if position + 1 < len(report.breaches) else None
        # What mends several breaches of one statement is said once, below the last of them.
        if following is None or (following.statement, following.solution) != (breach.statement, breach.solution):
            lines.append(f"  Solution:  {breach.solution}")
    return "\n".join(lines)


def _where(report: Report, breach: Breach) -> str:
    if breach.statement is None:
        return ""
    statement = next(known for known in report.statements if known.number == breach.statement)
    place = f" ({statement.file}:{statement.line})" if statement.file else ""
    return f"statement {statement.number}{place}: "


def _notes(report: Report) -> str:
    waited = [
        f"statement {statement.number} itself waited {duration(wait.ms)} for others ({wait.event}:"
        f" {', '.join(wait.behind)})"
        for statement in report.statements
        for wait in statement.migrator_waits
    ]
    quick = sum(not known.in_transaction and not known.locks for known in report.statements)
    if quick:
        told = counted(quick, "statement was", "statements were")
        waited.append(f"outside a transaction locks are known from samples alone, and {told} too quick for any")
    kept = [f"the temporary database {report.database} was kept"] if report.kept else []
    return "\n".join(f"note: {note}" for note in (*waited, *report.notes, *kept))


def _verdict(report: Report, paint: _Paint) -> str:
    failure = report.failure
    if report.outcome == FAILED and failure is not None:
        where = f"revision {failure.revision}" if failure.revision else "the upgrade"
        place = f" ({failure.file}:{failure.line})" if failure.file else ""
        told = paint(_RED, f"failed: {where}{place}: {failure.message}")
        if failure.solution:
            return f"{told}\n  Solution:  {failure.solution}"
        if report.data != "none" and (failure.sqlstate or "").startswith("23"):
            return f"{told}\n  The rows were made up and may not know this rule; those of the source may, or may not."
        return told
    if report.outcome == NOTHING_TO_DO:
        return "nothing to rehearse: the database is at the code's heads"
    took = (
        f"{counted(len(report.revisions), 'revision')}, {counted(len(report.statements), 'statement')} in"
        f" {duration(report.duration_ms)}"
    )
    if report.outcome == OVER_BUDGET:
        return paint(_RED, f"over budget: {counted(len(report.breaches), 'breach', 'breaches')}; {took}")
    return paint(_GREEN, f"within budget: {took}")
