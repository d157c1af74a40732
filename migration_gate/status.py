"""The verdict: `judge(expected, observed)` is pure, and everything else reads what it returns.

Direction is told by the revision graph, never by comparing names or dates: a database is behind when
all that it holds leads to this code's heads, and ahead when this code's heads lead to it. The
ledger supplies the edges that this code cannot know, those of revisions written after it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from migration_gate.expected import Expected, lineage
from migration_gate.observe import BrokenStatement, Observed


class State(StrEnum):
    """The stable codes. They name problem types, log fields, metric labels and runbooks."""

    NEVER_MIGRATED = "never_migrated"
    UNVERSIONED = "unversioned"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD_COMPATIBLE = "ahead_compatible"
    DIVERGED = "diverged"
    STATEMENT_BROKEN = "statement_broken"
    PRIVILEGES_MISSING = "privileges_missing"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Policy:
    """What a state allows: requests that need the schema, and an upgrade of the database."""

    traffic: bool
    upgrade: bool


# The one table of what may happen in which state. A statement that is known to be broken closes every state.
POLICY = {
    State.NEVER_MIGRATED: Policy(traffic=False, upgrade=True),
    State.UNVERSIONED: Policy(traffic=True, upgrade=False),
    State.BEHIND: Policy(traffic=False, upgrade=True),
    State.CURRENT: Policy(traffic=True, upgrade=True),
    State.AHEAD_COMPATIBLE: Policy(traffic=True, upgrade=False),
    State.DIVERGED: Policy(traffic=False, upgrade=False),
    State.STATEMENT_BROKEN: Policy(traffic=False, upgrade=False),
    State.PRIVILEGES_MISSING: Policy(traffic=False, upgrade=False),
    State.UNREACHABLE: Policy(traffic=False, upgrade=False),
}


@dataclass(frozen=True)
class SchemaStatus:
    """A verdict with its evidence.

    `missing` are the revisions that lead from the database to this code, in order; `unknown` those that the
    database holds and this code does not know. `cause` and `solution` are sentences for people.
    """

    state: State
    code_heads: tuple[str, ...]
    database_revisions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    statements_proven: bool = False
    broken_statements: tuple[BrokenStatement, ...] = ()
    evidence: str = ""
    cause: str = ""
    solution: str = ""

    @property
    def servable(self) -> bool:
        return POLICY[self.state].traffic and not self.broken_statements

    @property
    def upgradable(self) -> bool:
        return POLICY[self.state].upgrade

    @property
    def warning(self) -> bool:
        """Traffic flows, and somebody should look."""
        return self.servable and self.state is not State.CURRENT

    def as_dict(self) -> dict[str, object]:
        """The verdict as JSON takes it."""
        return {
            "state": self.state.value,
            "servable": self.servable,
            "upgradable": self.upgradable,
            "code_heads": list(self.code_heads),
            "database_revisions": list(self.database_revisions),
            "missing": list(self.missing),
            "unknown": list(self.unknown),
            "statements_proven": self.statements_proven,
            "broken_statements": [asdict(statement) for statement in self.broken_statements],
            "evidence": self.evidence,
            "cause": self.cause,
            "solution": self.solution,
        }


def judge(expected: Expected, observed: Observed) -> SchemaStatus:
    """Compare what the code expects with what the database is. No input or output, no clock."""
    state = _state(expected, observed)
    cause, solution = _EXPLANATIONS[state]
    return SchemaStatus(
        state=state,
        code_heads=expected.heads,
        database_revisions=observed.revisions,
        missing=expected.missing_from(observed.revisions, _parents(expected, observed)),
        unknown=tuple(id_ for id_ in observed.revisions if id_ not in expected.revisions),
        statements_proven=observed.statements_proven,
        broken_statements=observed.broken_statements,
        evidence=_evidence(state, expected, observed),
        cause=cause,
        solution=solution,
    )


def unreachable(expected: Expected, evidence: str, solution: str = "") -> SchemaStatus:
    """The verdict while no session on the database can be had."""
    cause, usual_solution = _EXPLANATIONS[State.UNREACHABLE]
    solution = solution or usual_solution
    return SchemaStatus(State.UNREACHABLE, expected.heads, evidence=evidence, cause=cause, solution=solution)


def _state(expected: Expected, observed: Observed) -> State:
    if observed.has_version_table and not observed.version_table_readable:
        return State.PRIVILEGES_MISSING
    placed = _place(expected, observed)
    # Where no revision is recorded, that is the cause, and the broken statement its evidence.
    if observed.broken_statements and placed in {State.CURRENT, State.AHEAD_COMPATIBLE}:
        return State.STATEMENT_BROKEN
    return placed


def _place(expected: Expected, observed: Observed) -> State:
    if not observed.revisions:
        # An empty version table is somebody's word that nothing was applied (`alembic stamp base`);
        # tables without one may be this application's, made by create_all.
        unrecorded = observed.has_other_tables and not observed.has_version_table
        return State.UNVERSIONED if unrecorded else State.NEVER_MIGRATED
    parents = {**observed.lineage, **expected.parents}
    if not parents.keys() >= set(observed.revisions):
        return State.DIVERGED
    code = lineage(expected.heads, parents)
    database = lineage(observed.revisions, parents)
    if code == database:
        return State.CURRENT
    if database < code:
        return State.BEHIND
    if code < database:
        return State.AHEAD_COMPATIBLE
    return State.DIVERGED


def _parents(expected: Expected, observed: Observed) -> dict[str, tuple[str, ...]]:
    """Every edge of the revision graph that is known: the ledger's, and over them the code's."""
    return {**observed.lineage, **expected.parents}


def _evidence(state: State, expected: Expected, observed: Observed) -> str:
    database = ", ".join(observed.revisions) or "no revision"
    code = ", ".join(expected.heads) or "no revision"
    where = f"database {observed.database!r} is at {database}, the code's head is {code}"
    if observed.broken_statements and (POLICY[state].traffic or state is State.STATEMENT_BROKEN):
        first = observed.broken_statements[0]
        others = len(observed.broken_statements) - 1
        more = f" (and {others} more)" if others else ""
        where += f"; statement {first.name}: {first.message} (SQLSTATE {first.sqlstate}){more}"
    if state is State.PRIVILEGES_MISSING:
        return f"role {observed.role!r} may not read the version table of database {observed.database!r}"
    if state is State.UNVERSIONED:
        return f"{where}; it holds tables all the same"
    return where


_EXPLANATIONS = {
    State.NEVER_MIGRATED: (
        "The migrations were never applied to this database.",
        "alembic upgrade head",
    ),
    State.UNVERSIONED: (
        "The database holds tables and no record of any migration.",
        (
            "if the tables are this application's, record where they stand: alembic stamp REVISION;"
            " if they are another's: alembic stamp base; then: alembic upgrade head"
        ),
    ),
    State.BEHIND: (
        "This code was deployed without applying its migrations.",
        "alembic upgrade head",
    ),
    State.CURRENT: ("", ""),
    State.AHEAD_COMPATIBLE: (
        "A newer release has migrated this database; every statement of this code still runs on it.",
        "nothing to run; deploy the newer release when it is ready",
    ),
    State.DIVERGED: (
        (
            "The database holds a revision that neither this code nor the ledger can place: it was migrated"
            " from another branch, or it belongs to something else."
        ),
        "check DATABASE_URL, then deploy code that contains this revision; nothing was touched",
    ),
    State.STATEMENT_BROKEN: (
        (
            "The recorded revision says that the schema is there, and a statement of this code cannot run on"
            " it: something was stamped but not run, changed by hand, or not granted."
        ),
        "repair the table or the grant that the statement's error names; traffic then flows by itself",
    ),
    State.PRIVILEGES_MISSING: (
        "The application's role was not granted what the migrator's role owns.",
        (
            "as the migrator, to the application's role: GRANT SELECT on the version table and the tables beside it,"
            " and what its statements need on its own tables (SELECT, INSERT, UPDATE, DELETE)"
        ),
    ),
    State.UNREACHABLE: (
        "No session on the database could be had.",
        "check that PostgreSQL runs and that DATABASE_URL names it",
    ),
}
