"""The states that a schema can be in: their codes, what each allows, and what people are told of them.

A code names verdict, problem type, metric label, log field and runbook alike, and never changes. This table is the
only place that says what may happen in which state; docs/GATE.md shows it, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The stable codes."""

    NEVER_MIGRATED = "never_migrated"
    UNVERSIONED = "unversioned"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD_COMPATIBLE = "ahead_compatible"
    AHEAD_INCOMPATIBLE = "ahead_incompatible"
    DIVERGED = "diverged"
    TAMPERED = "tampered"
    MULTIPLE_HEADS = "multiple_heads"
    BROKEN_GRAPH = "broken_graph"
    INCOMPLETE = "incomplete"
    DRIFTED = "drifted"
    PRIVILEGES_MISSING = "privileges_missing"
    STATEMENT_BROKEN = "statement_broken"
    WRONG_DATABASE = "wrong_database"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Rule:
    """What holds in a state.

    `traffic`: requests that need the schema may be served. `upgrade`: migrations may be applied. A statement that
    is known to be broken forbids traffic in every state. `title` and `cause` are for people; `solution` is the
    command that mends it.
    """

    traffic: bool
    upgrade: bool
    title: str
    cause: str = ""
    solution: str = ""


UPGRADE = "alembic upgrade head"
ACCEPT = "migration-gate ledger accept --reason TEXT"
SETTLE = "migration-gate ledger settle --reason TEXT"

RULES = {
    State.NEVER_MIGRATED: Rule(
        traffic=False,
        upgrade=True,
        title="The database was never migrated",
        cause="The migrations were never applied to this database.",
        solution=UPGRADE,
    ),
    State.UNVERSIONED: Rule(
        traffic=True,
        upgrade=False,
        title="The database records no revision",
        cause="The database holds tables and no record of any migration: something else than Alembic made them.",
        solution=(
            "if the tables are this application's: migration-gate ledger baseline, which compares them with what the"
            " migrations make; if they are another's: alembic stamp base; then: alembic upgrade head"
        ),
    ),
    State.BEHIND: Rule(
        traffic=False,
        upgrade=True,
        title="The database schema is behind the code",
        cause="This code was deployed without applying its migrations.",
        solution=UPGRADE,
    ),
    State.CURRENT: Rule(traffic=True, upgrade=True, title="The database schema is current"),
    State.AHEAD_COMPATIBLE: Rule(
        traffic=True,
        upgrade=False,
        title="The database schema is ahead of the code",
        cause="A newer release has migrated this database, and nothing that it changed is known to break this code.",
        solution="nothing to run; deploy the newer release when it is ready",
    ),
    State.AHEAD_INCOMPATIBLE: Rule(
        traffic=False,
        upgrade=False,
        title="The database schema has left this code behind",
        cause="A newer release took away what this code still uses.",
        solution="deploy the newer release again; do not downgrade the database, which would lose what it holds since",
    ),
    State.DIVERGED: Rule(
        traffic=False,
        upgrade=False,
        title="The database schema and the code have diverged",
        cause=(
            "The database holds a revision that neither this code nor the ledger can place: it was migrated"
            " from another branch, or it belongs to something else."
        ),
        solution="check DATABASE_URL, then deploy code that contains this revision; nothing was touched",
    ),
    State.TAMPERED: Rule(
        traffic=True,
        upgrade=False,
        title="A migration was edited after it was applied",
        cause="A migration file was edited after this database had applied it, so databases no longer agree.",
        solution=(
            "restore the file (git log -p -- FILE tells its history) and put the change into a new revision;"
            f" where the edit changes nothing in a database: {ACCEPT}"
        ),
    ),
    State.MULTIPLE_HEADS: Rule(
        traffic=True,
        upgrade=False,
        title="The code has several heads",
        cause="Two branches each added a migration, and nothing says in which order they are to be applied.",
        solution='alembic merge heads -m "merge heads", or give the later one the earlier one as its down_revision',
    ),
    State.BROKEN_GRAPH: Rule(
        traffic=True,
        upgrade=False,
        title="The code's migrations form no graph",
        cause="The migration files do not fit together, so this code does not know which schema it needs.",
        solution="find the down_revision that names no file, or the id that two files share; then: migration-gate lock",
    ),
    State.INCOMPLETE: Rule(
        traffic=True,
        upgrade=True,
        title="A migration ended halfway",
        cause="A step outside a transaction began and did not end, so a part of it is there and a part is not.",
        solution=f"{UPGRADE}, which goes on where it stopped",
    ),
    State.DRIFTED: Rule(
        traffic=True,
        upgrade=False,
        title="The schema was changed past the migrations",
        cause="Somebody changed the schema by hand since the last migration.",
        solution=f"undo the change, or put it into a revision; where the schema is right as it is: {ACCEPT}",
    ),
    State.PRIVILEGES_MISSING: Rule(
        traffic=False,
        upgrade=False,
        title="The application may not use what it needs",
        cause="The application's role was not granted what it needs on tables that the migrator's role owns.",
        solution=(
            "as the migrator, to the application's role: GRANT SELECT on the version table and the tables beside it,"
            " and what its statements need on its own tables (SELECT, INSERT, UPDATE, DELETE)"
        ),
    ),
    State.STATEMENT_BROKEN: Rule(
        traffic=False,
        upgrade=False,
        title="A statement of the code cannot run on this database",
        cause=(
            "The recorded revision says that the schema is there, and a statement of this code cannot run on"
            " it: something was stamped but not run, or changed by hand."
        ),
        solution="repair the table that the statement's error names; traffic then flows by itself",
    ),
    State.WRONG_DATABASE: Rule(
        traffic=False,
        upgrade=False,
        title="This is another project's database",
        cause="The address leads to a database, or to a schema in it, that is not this project's.",
        solution="correct DATABASE_URL (and the role's search_path); nothing was touched",
    ),
    State.UNREACHABLE: Rule(
        traffic=False,
        upgrade=False,
        title="The database cannot be reached",
        cause="No session on the database could be had.",
        solution="check that PostgreSQL runs and that DATABASE_URL names it",
    ),
}

# Which of several findings is told first: what must be mended before anything else can be.
ORDER = (
    State.UNREACHABLE,
    State.WRONG_DATABASE,
    State.PRIVILEGES_MISSING,
    State.DIVERGED,
    State.AHEAD_INCOMPATIBLE,
    State.BROKEN_GRAPH,
    State.UNVERSIONED,
    State.TAMPERED,
    State.MULTIPLE_HEADS,
    State.NEVER_MIGRATED,
    State.BEHIND,
    State.STATEMENT_BROKEN,
    State.INCOMPLETE,
    State.DRIFTED,
    State.AHEAD_COMPATIBLE,
    State.CURRENT,
)
