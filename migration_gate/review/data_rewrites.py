"""The safe ways to change rows, and to part what does not belong into one revision."""

from __future__ import annotations

import itertools
import re

from migration_gate.review import revision_code as code
from migration_gate.review.findings import Code
from migration_gate.review.rendered import Statement
from migration_gate.review.revision_code import batches, execute, outside_transaction, quoted, revision
from migration_gate.review.rewrites import rewrite_for
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import NAME, blank, fold

Rewrite = tuple[str, tuple[Code, ...]]

_ENDS = re.compile(r"\b(?:GROUP\s+BY|ORDER\s+BY|HAVING|WINDOW|UNION|INTERSECT|EXCEPT|ON\s+CONFLICT|RETURNING)\b", re.I)
_AGGREGATES = re.compile(
    r"\b(?:GROUP\s+BY|UNION|INTERSECT|EXCEPT|DISTINCT|HAVING)\b|\b(?:count|sum|min|max|avg)\s*\(", re.I
)
_WRITE_UNDO = 'raise NotImplementedError("write here what undoes it")'
_NO_REWRITE = "Do it in batches, each in a transaction of its own, in a revision that declares gate_rerunnable = True."


def batched_rewrite(change: Change, subject: Subject) -> Rewrite:
    """A statement over a whole table, as a walk through it by ranges of its key."""
    sql = change.text.strip()
    code_ = blank(sql, names=True)
    source = _source(change, blank(sql))
    if source is None or _AGGREGATES.search(code_) or re.match(r"(?:WITH|MERGE)\b", code_, re.IGNORECASE):
        return _NO_REWRITE, ()
    table, name = source
    key = subject.models.key_of(fold(table))
    where = _top_level_where(code_)
    rest = code_[where.end() :] if where else code_
    ends = _ENDS.search(rest)
    end = len(code_) - len(rest) + ends.start() if ends else len(sql)
    tail = ""
    if change.verb == "insert select":
        tail = sql[end:].strip()
        # A row that was inserted before the revision was cut off is met again.
        tail += "" if re.search(r"\bON\s+CONFLICT\b", tail, re.IGNORECASE) else " ON CONFLICT DO NOTHING"
    # Lines of their own keep what people paste readable.
    within = f"{name}.{quoted(key)} BETWEEN first_key AND last_key"
    if where:
        condition = sql[where.end() : end].strip()
        # The old condition in brackets: an OR in it must not escape the range.
        text = f"{sql[: where.start()].rstrip()}\n        WHERE {within}\n            AND ({condition})"
    else:
        text = f"{sql[:end].rstrip()}\n        WHERE {within}"
    walked = batches(table, key, f"{text}\n        {tail.strip()}".strip())
    return (
        (
            f"Walk through {table} by ranges of {key}, in a revision without schema changes; it commits after each 1000"
            " rows. See that a row that is met twice comes out the same."
        ),
        (Code(f"the rows of {table}, in batches", walked),),
    )


def _source(change: Change, code_: str) -> tuple[str, str] | None:
    """The table that is walked, as it is written, and the name by which the statement calls it."""
    alias = (
        rf"({NAME})(?:\s+(?:AS\s+)?(?!SET\b|WHERE\b|USING\b|ORDER\b|ON\b|RETURNING\b|JOIN\b|LEFT\b|INNER\b)({NAME}))?"
    )
    pattern = {
        "update": rf"UPDATE\s+(?:ONLY\s+)?{alias}\s+SET\b",
        "delete": rf"DELETE\s+FROM\s+(?:ONLY\s+)?{alias}",
        "insert select": rf"INSERT\s+INTO\b.*?\bFROM\s+(?:ONLY\s+)?{alias}",
    }.get(change.verb)
    found = re.match(pattern, code_, re.IGNORECASE | re.DOTALL) if pattern else None
    return (found[1], found[2] or found[1]) if found else None


def _top_level_where(code_: str) -> re.Match[str] | None:
    for found in re.finditer(r"\bWHERE\b", code_, re.IGNORECASE):
        before = code_[: found.start()]
        if before.count("(") == before.count(")"):
            return found
    return None


def split_rewrite(subject: Subject) -> tuple[Code, ...]:
    """A revision's statements in revisions of their own: the schema, and the data."""
    schema: list[Statement] = []
    data: list[Statement] = []
    for statement in subject.rendered.statements:
        moves = any(change.moves_data and change.on not in subject.created for change in statement.changes)
        (data if moves else schema).append(statement)
    steps = [Code("the schema", revision([execute(each.sql) for each in schema], [_WRITE_UNDO]))]
    for statement in data:
        change = next(each for each in statement.changes if each.moves_data)
        steps += batched_rewrite(change, subject)[1] or [
            Code("the data", revision([execute(statement.sql)], [code.VALUES_STAY]))
        ]
    return tuple(steps)


def transaction_rewrite(subject: Subject) -> tuple[Code, ...]:
    """What has a transaction and what has none, in revisions of their own, in the order in which they stand."""
    steps = []
    for transactional, group in itertools.groupby(subject.rendered.statements, lambda each: each.transactional):
        lines = [execute(each.sql) for each in group]
        if transactional:
            steps.append(Code("what runs in a transaction", revision(lines, [_WRITE_UNDO])))
        else:
            declarations = ["gate_rerunnable = True"] if subject.declared.rerunnable else []
            apart = revision([outside_transaction(lines)], [_WRITE_UNDO], *declarations)
            steps.append(Code("what runs outside one", apart))
    return tuple(steps)


def enum_rewrite(subject: Subject, value: str) -> tuple[Code, ...]:
    """A new value of an enum, and what uses it, in two revisions."""
    adds = [each for each in subject.rendered.statements if any(c.verb == "add value" for c in each.changes)]
    uses = [each for each in subject.rendered.statements if each not in adds and f"'{value}'" in each.sql]
    only_rows = all(change.moves_data for each in uses for change in each.changes)
    undo = code.VALUES_STAY if only_rows else _WRITE_UNDO
    stays = '"""A value of an enum cannot be taken out, and one that nobody uses harms nobody."""'
    return (
        Code("the value", revision([execute(_unless_there(each.sql)) for each in adds], [stays])),
        Code("what uses it", revision([execute(each.sql) for each in uses], [undo])),
    )


def _unless_there(sql: str) -> str:
    """A downgrade leaves the value, and the next upgrade meets it."""
    return re.sub(r"\bADD\s+VALUE\s+(?!IF\b)", "ADD VALUE IF NOT EXISTS ", sql, count=1, flags=re.IGNORECASE)


def index_rewrite(statement: Statement, subject: Subject) -> Rewrite:
    """What runs concurrently, moved into an autocommit block."""
    change = next(iter(statement.changes), None)
    if change is not None and change.verb in {"create index", "create unique index", "drop index"}:
        return rewrite_for(change, subject)
    block = revision([outside_transaction([execute(statement.sql)])], [_WRITE_UNDO])
    return "Move it into an autocommit block.", (Code("outside the transaction", block),)
