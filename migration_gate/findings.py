"""What is found where what the code expects meets what the database is. Pure: no input or output, no clock.

Direction is told by the revision graph, never by comparing names or dates: a database is behind when
all that it holds leads to this code's heads, and ahead when this code's heads lead to it. The
ledger supplies the edges that this code cannot know, those of revisions written after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migration_gate.expected import Expected, lineage
from migration_gate.observed import Applied, Observed
from migration_gate.sql_text import without_values
from migration_gate.states import RULES, State

# No such privilege: the statement fits the schema, and the role may not run it.
_INSUFFICIENT_PRIVILEGE = "42501"

# Before the last of several names with dots between; a quoted one may hold dots of its own.
_LAST_NAME = re.compile(r'\.(?=(?:"(?:[^"]|"")*"|[^".]+)$)')

# The second index beside the real one while REINDEX CONCURRENTLY is at work, or where it failed.
_OF_REINDEX = re.compile(r'_cc(?:new|old)\d*"?$')

# How many objects a sentence names before it says how many more there are.
_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One thing that is so: its code, what was seen, what caused it, and the command that mends it."""

    state: State
    evidence: str
    cause: str = ""
    solution: str = ""


def _finding(state: State, evidence: str, solution: str = "") -> Finding:
    rule = RULES[state]
    return Finding(state, evidence, rule.cause, solution or rule.solution)


def findings_of(expected: Expected, observed: Observed) -> Iterator[Finding]:
    where = _where(expected, observed)
    placed = _place(expected, observed, where)
    yield placed
    if expected.fault is not None and placed.state is not State.BROKEN_GRAPH:
        yield _finding(State.BROKEN_GRAPH, f"{where}; {expected.fault}", expected.fault_solution)
    if expected.competing_heads:
        yield _finding(State.MULTIPLE_HEADS, f"{where}; nothing orders {_some(expected.competing_heads)}")
    if placed.state in {State.PRIVILEGES_MISSING, State.WRONG_DATABASE}:
        return  # nothing more is known of a schema that cannot be read, or is another's
    yield from _tampered(expected, observed, where)
    # Where no revision is recorded, that is the cause, and the broken statement its evidence.
    if observed.broken_statements and placed.state in _PLACES_WHERE_STATEMENTS_SHOULD_RUN:
        yield _broken(observed, where)
    # A revision that is not applied yet may be the one that validates a constraint.
    yield from _incomplete(observed, where, waiting=placed.state is State.BEHIND)
    if observed.drift:
        yield _finding(State.DRIFTED, f"{where}; since the last run: {_some(observed.drift)}")


_PLACES_WHERE_STATEMENTS_SHOULD_RUN = frozenset({State.CURRENT, State.AHEAD_COMPATIBLE, State.BROKEN_GRAPH})


def _place(expected: Expected, observed: Observed, where: str) -> Finding:
    """Where the database stands on the revision graph, or why that cannot be told."""
    if other := _of_another(expected, observed):
        return _finding(State.WRONG_DATABASE, other)
    if unreadable := _unreadable(observed):
        return _finding(State.PRIVILEGES_MISSING, unreadable)
    if expected.fault is not None and observed.revisions:
        return _finding(State.BROKEN_GRAPH, f"{where}; {expected.fault}", expected.fault_solution)
    if not observed.revisions:
        # An empty version table is somebody's word that nothing was applied (`alembic stamp base`);
        # tables without one may be this application's, made by create_all.
        if observed.has_other_tables and not observed.has_version_table:
            return _finding(State.UNVERSIONED, f"{where}; it holds tables all the same")
        return _finding(State.NEVER_MIGRATED, where)
    parents = known_edges(expected, observed)
    if not parents.keys() >= set(observed.revisions):
        return _finding(State.DIVERGED, where + _origin(expected, observed))
    code = lineage(expected.heads, parents)
    database = lineage(observed.revisions, parents)
    if code == database:
        return _finding(State.CURRENT, where)
    if database < code:
        return _finding(State.BEHIND, where)
    if code < database:
        return _ahead(database - code, code, observed, where)
    return _finding(State.DIVERGED, where + _origin(expected, observed))


def _ahead(newer: frozenset[str], code: frozenset[str], observed: Observed, where: str) -> Finding:
    """Ahead: whether this code may go on is what the ledger says of the revisions that it does not know."""
    for revision in (id_ for id_ in observed.applied if id_ in newer - _spoken_for(newer, observed)):
        applied = observed.applied[revision]
        # A contraction of which nothing is said takes something from all code that does not know it.
        needed = applied.minimum_code or (revision if applied.phase == "contract" else None)
        if needed is not None and needed not in code:
            release = f" of release {applied.release}" if applied.release else ""
            return _finding(
                State.AHEAD_INCOMPATIBLE,
                f"{where}; revision {revision}{release} ({applied.phase or 'unknown phase'}, {_when(applied)})"
                f" needs code at {needed} or newer",
                f"deploy a release whose migrations hold {needed}; do not downgrade the database: what was written"
                " since would be lost",
            )
    return _finding(State.AHEAD_COMPATIBLE, where)


def _spoken_for(newer: frozenset[str], observed: Observed) -> frozenset[str]:
    """Revisions after which a later one tells which code runs on the schema, all that came before it included."""
    telling = (id_ for id_ in newer if id_ in observed.applied and observed.applied[id_].minimum_code is not None)
    return frozenset().union(*(lineage((id_,), observed.lineage) - {id_} for id_ in telling))


def _of_another(expected: Expected, observed: Observed) -> str | None:
    if expected.project and observed.project and expected.project != observed.project:
        return f"database {observed.database!r} keeps the ledger of project {observed.project!r}, not of this one"
    if observed.has_version_table:
        return None
    for schema, revisions in observed.elsewhere.items():
        if set(revisions) & expected.revisions.keys():
            return (
                f"in database {observed.database!r} this code's revisions are kept in schema {schema!r}, where role"
                f" {observed.role!r} does not look"
            )
    return None


def _unreadable(observed: Observed) -> str | None:
    if observed.has_version_table and not observed.version_table_readable:
        return f"role {observed.role!r} may not read the version table of database {observed.database!r}"
    if not observed.has_version_table and observed.unusable_schema is not None:
        return f"role {observed.role!r} may not use schema {observed.unusable_schema!r} of {observed.database!r}"
    return None


def _origin(expected: Expected, observed: Observed) -> str:
    """Who brought the revisions that this code does not know."""
    told = [
        f"{id_} was applied by {observed.applied[id_].applied_by}, {_when(observed.applied[id_])}"
        for id_ in observed.revisions
        if id_ not in expected.revisions and id_ in observed.applied
    ]
    return f"; {'; '.join(told)}" if told else ""


def _tampered(expected: Expected, observed: Observed, where: str) -> Iterator[Finding]:
    held = lineage(observed.revisions, known_edges(expected, observed))
    edited = [
        f"{revision.file} (revision {id_}, applied {_when(observed.applied[id_])})"
        for id_, revision in expected.revisions.items()
        if id_ in held and id_ in observed.applied and _differ(revision.checksum, observed.applied[id_].checksum)
    ]
    if edited:
        yield _finding(State.TAMPERED, f"{where}; {_some(edited)} is not what was applied")


def _differ(code: str, ledger: str | None) -> bool:
    """Checksums of another kind, of an older gate, say nothing."""
    return ledger is not None and ledger.partition(":")[0] == code.partition(":")[0] and ledger != code


def _incomplete(observed: Observed, where: str, *, waiting: bool) -> Iterator[Finding]:
    if observed.unfinished:
        revision = observed.unfinished[-1].revision
        last = [step for step in observed.unfinished if step.revision == revision][-1]
        how = "failed" if last.error else "ended" if last.ended else "did not end"
        yield _finding(
            State.INCOMPLETE,
            f"{where}; revision {revision} stopped halfway: its statement {last.number} began {last.began_at[:19]}"
            f" and {how} ({without_values(last.statement)})",
        )
    elif observed.invalid_indexes:
        name = observed.invalid_indexes[0]
        yield _finding(
            State.INCOMPLETE,
            f"{where}; invalid: index {_some(observed.invalid_indexes)}, which no query uses and every write pays for",
            f"DROP INDEX CONCURRENTLY {name}, once no REINDEX CONCURRENTLY is at work there"
            if _OF_REINDEX.search(name)
            else f"REINDEX INDEX CONCURRENTLY {name}, or DROP INDEX CONCURRENTLY {name} where nobody needs it",
        )
    elif observed.unvalidated_constraints and not waiting:
        table, name = _LAST_NAME.split(observed.unvalidated_constraints[0])[:2]
        yield _finding(
            State.INCOMPLETE,
            f"{where}; not validated: constraint {_some(observed.unvalidated_constraints)}, which older rows may"
            " violate",
            f"a revision that runs: ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        )


def _broken(observed: Observed, where: str) -> Finding:
    if all(each.sqlstate == _INSUFFICIENT_PRIVILEGE for each in observed.broken_statements):
        return _finding(State.PRIVILEGES_MISSING, f"role {observed.role!r}: {where}")
    return _finding(State.STATEMENT_BROKEN, where)


def known_edges(expected: Expected, observed: Observed) -> dict[str, tuple[str, ...]]:
    """Every edge of the revision graph that is known: the ledger's, and over them the code's."""
    return {**observed.lineage, **expected.parents}


def _where(expected: Expected, observed: Observed) -> str:
    database = ", ".join(observed.revisions) or "no revision"
    code = ", ".join(expected.heads) or "no revision"
    where = f"database {observed.database!r} is at {database}, the code's head is {code}"
    if observed.broken_statements:
        first, *others = observed.broken_statements
        more = f" (and {len(others)} more)" if others else ""
        where += f"; statement {first.name}: {first.message} (SQLSTATE {first.sqlstate}){more}"
    return where


def _when(applied: Applied) -> str:
    return applied.applied_at[:19] or "at an unknown time"


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
