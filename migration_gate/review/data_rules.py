"""Rules about rows: what is changed all at once, and what is changed while the schema is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration_gate.review.data_rewrites import batched_rewrite, split_rewrite
from migration_gate.review.findings import Finding, Level
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import NAME, blank, fold

_REWRITES_ROWS = frozenset({"update", "delete", "insert select", "merge"})


def unbatched_backfill(subject: Subject) -> Iterator[Finding]:
    """UPDATE, DELETE, MERGE or INSERT … SELECT over a whole table that holds rows."""
    for statement in subject.rendered.statements:
        for change in statement.changes:
            if change.verb in _REWRITES_ROWS and change.on not in subject.created:
                if is_bounded(statement.sql, change, subject):
                    continue
                advice, rewrite = batched_rewrite(change, subject)
                yield subject.finding(
                    "unbatched-backfill",
                    Level.ERROR,
                    f"{change.verb.split()[0].upper()} goes through all of {change.on} in one transaction: every row"
                    " that it changes stays locked until it ends, requests that write one of them wait, and what it"
                    " replaced cannot be vacuumed until then.",
                    at=statement,
                    advice=advice,
                    rewrite=rewrite,
                )
                break


def is_bounded(sql: str, change: Change, subject: Subject) -> bool:
    """Whether a statement touches a limited number of rows: a batch, a range, rows named by their key."""
    code, words = blank(sql), blank(sql, names=True)
    if re.match(r"\s*DO\b", code, re.IGNORECASE):
        return re.search(r"\bLOOP\b", sql, re.IGNORECASE) is not None and "COMMIT" in sql.upper()
    if re.search(r"\bLIMIT\b|\bFETCH\s+(?:FIRST|NEXT)\b|\bctid\b", words, re.IGNORECASE):
        return True
    if change.verb == "insert select" and not _reads_rows_of(code, subject):
        return True
    if re.search(r"\bWHERE\b.*\bOR\b", _without_brackets(words), re.IGNORECASE | re.DOTALL):
        return False  # a range on one side of an OR bounds nothing
    if re.search(r"\bBETWEEN\b", words, re.IGNORECASE):
        return True
    above = set(re.findall(rf"({NAME})\s*>=?", code))
    if above & set(re.findall(rf"({NAME})\s*<=?(?!>)", code)):
        return True
    key = rf'(?:\b|")(?:{re.escape(subject.models.key_of(change.on))}|id)"?'
    named = rf"\bWHERE\b.*{key}\s*(?:=\s*(?:'|\d|ANY\b)|IN\s*\((?!\s*SELECT))"
    return re.search(named, code, re.IGNORECASE | re.DOTALL) is not None


def _without_brackets(code: str) -> str:
    while (less := re.sub(r"\([^()]*\)", " ", code)) != code:
        code = less
    return code


def _reads_rows_of(code: str, subject: Subject) -> list[str]:
    """The tables that a query reads, without those that are new, named by the query itself, or functions."""
    own = {fold(name) for name in re.findall(rf"({NAME})\s+AS\s+(?:NOT\s+MATERIALIZED\s+|MATERIALIZED\s+)?\(", code)}
    read = re.findall(rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+|LATERAL\s+)?({NAME})(?!\s*[\w.$]*\()", code, re.IGNORECASE)
    return [fold(name) for name in read if fold(name) not in own | subject.created | {"values"}]


def mixed_data_and_schema(subject: Subject) -> Iterator[Finding]:
    """Rows changed while the locks of a schema change are held, which is until their transaction ends."""
    within = [statement for statement in subject.rendered.statements if statement.transactional]
    moves = [
        (statement, change)
        for statement in within
        for change in statement.changes
        if change.moves_data and change.verb != "insert" and change.on not in subject.created
    ]
    schema = [change for statement in within for change in statement.changes if not change.moves_data]
    if moves and schema:
        statement, change = moves[0]
        locked = next((each.on for each in schema if each.on not in subject.created), None)
        yield subject.finding(
            "mixed-data-and-schema",
            Level.ERROR,
            f"Rows of {change.on} are changed in the revision that changes the schema: "
            + (f"the lock on {locked} is held until the last row is done." if locked else "one failure undoes both."),
            at=statement,
            advice="Give the data a revision of its own.",
            rewrite=split_rewrite(subject),
        )
