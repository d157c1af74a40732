"""What `judge` must say, as data: the oracle that the real judge passes and every mutant fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from migration_gate.expected import Expected, Revision
from migration_gate.observe import BrokenStatement, Observed
from migration_gate.status import SchemaStatus, State

Judge = Callable[[Expected, Observed], SchemaStatus]

# Written down once more, so that a change to the gate's own table is a change to this one.
TRAFFIC_AND_UPGRADE = {
    State.NEVER_MIGRATED: (False, True),
    State.UNVERSIONED: (True, False),
    State.BEHIND: (False, True),
    State.CURRENT: (True, True),
    State.AHEAD_COMPATIBLE: (True, False),
    State.DIVERGED: (False, False),
    State.STATEMENT_BROKEN: (False, False),
    State.PRIVILEGES_MISSING: (False, False),
    State.UNREACHABLE: (False, False),
}


def graph(edges: Mapping[str, tuple[str, ...]], *heads: str) -> Expected:
    """A revision graph out of its edges, child to parents, parents first."""
    revisions = {id_: Revision(id_, parents, f"{id_}.py", "sha256:0") for id_, parents in edges.items()}
    return Expected(heads, MappingProxyType(revisions))


def database(*revisions: str, **facts: Any) -> Observed:
    """A database with a version table that holds `revisions`; `facts` replaces what else is known of it."""
    usual = {"has_version_table": True, "version_table_readable": True, "has_other_tables": bool(revisions)}
    return Observed(database="library", role="reader", revisions=tuple(sorted(revisions)), **(usual | facts))


# Ids that sort against their history, so that nothing can be concluded from names.
LINE = graph({"f00d": (), "beef": ("f00d",), "0abc": ("beef",)}, "0abc")
TWO_HEADS = graph({"root": (), "zz": ("root",), "aa": ("root",)}, "aa", "zz")
MERGED = graph({"root": (), "zz": ("root",), "aa": ("root",), "mm": ("aa", "zz")}, "mm")
ONE_BRANCH = graph({"root": (), "aa": ("root",)}, "aa")

BROKEN = (BrokenStatement("get_book", "42703", 'column "title" does not exist'),)
NO_TABLE = {"has_version_table": False, "version_table_readable": False}
UNREADABLE = {"version_table_readable": False}


@dataclass(frozen=True)
class Case:
    """What is expected and observed, and the verdict that must follow."""

    name: str
    expected: Expected
    observed: Observed
    state: State
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


S = State
ALL = ("f00d", "beef", "0abc")
CASES = (
    Case("at the head", LINE, database("0abc"), S.CURRENT),
    Case("one revision short", LINE, database("beef"), S.BEHIND, ("0abc",)),
    Case("two revisions short", LINE, database("f00d"), S.BEHIND, ("beef", "0abc")),
    Case("nothing at all", LINE, database(**NO_TABLE), S.NEVER_MIGRATED, ALL),
    Case("an empty version table", LINE, database(), S.NEVER_MIGRATED, ALL),
    Case("an empty version table beside tables", LINE, database(has_other_tables=True), S.NEVER_MIGRATED, ALL),
    Case("tables and no version table", LINE, database(has_other_tables=True, **NO_TABLE), S.UNVERSIONED, ALL),
    Case("a revision nobody knows", LINE, database("1111"), S.DIVERGED, ALL, ("1111",)),
    Case("a revision nobody knows, sorted after the head", LINE, database("zzzz"), S.DIVERGED, ALL, ("zzzz",)),
    Case("the head and a revision nobody knows", LINE, database("0abc", "1111"), S.DIVERGED, (), ("1111",)),
    Case("one ahead", LINE, database("1111", lineage={"1111": ("0abc",)}), S.AHEAD_COMPATIBLE, (), ("1111",)),
    Case(
        "two ahead, the older id sorting last",
        LINE,
        database("0000", lineage={"0000": ("1111",), "1111": ("0abc",), "0abc": ("beef",)}),
        S.AHEAD_COMPATIBLE,
        (),
        ("0000",),
    ),
    Case("a gap in the lineage", LINE, database("0000", lineage={"0000": ("1111",)}), S.DIVERGED, ALL, ("0000",)),
    Case(
        "a sibling of the head", LINE, database("2222", lineage={"2222": ("beef",)}), S.DIVERGED, ("0abc",), ("2222",)
    ),
    Case("a ledger against the code", LINE, database("beef", lineage={"beef": ("0abc",)}), S.BEHIND, ("0abc",)),
    Case("both heads", TWO_HEADS, database("aa", "zz"), S.CURRENT),
    Case("one head of two, the first", TWO_HEADS, database("aa"), S.BEHIND, ("zz",)),
    Case("one head of two, the second", TWO_HEADS, database("zz"), S.BEHIND, ("aa",)),
    Case("below the fork", TWO_HEADS, database("root"), S.BEHIND, ("zz", "aa")),
    Case(
        "merged by a later release",
        TWO_HEADS,
        database("mm", lineage={"mm": ("aa", "zz")}),
        S.AHEAD_COMPATIBLE,
        (),
        ("mm",),
    ),
    Case("merged", MERGED, database("mm"), S.CURRENT),
    Case("not merged yet", MERGED, database("aa", "zz"), S.BEHIND, ("mm",)),
    Case("one parent of the merge", MERGED, database("zz"), S.BEHIND, ("aa", "mm")),
    Case(
        "another branch beside ours",
        ONE_BRANCH,
        database("aa", "zz", lineage={"zz": ("root",)}),
        S.AHEAD_COMPATIBLE,
        (),
        ("zz",),
    ),
    Case(
        "another branch in our place",
        ONE_BRANCH,
        database("zz", lineage={"zz": ("root",)}),
        S.DIVERGED,
        ("aa",),
        ("zz",),
    ),
    Case("an unreadable version table", LINE, database(**UNREADABLE), S.PRIVILEGES_MISSING, ALL),
    Case(
        "an unreadable version table beside tables",
        LINE,
        database(has_other_tables=True, broken_statements=BROKEN, **UNREADABLE),
        S.PRIVILEGES_MISSING,
        ALL,
    ),
    Case("at the head, broken", LINE, database("0abc", broken_statements=BROKEN), S.STATEMENT_BROKEN),
    Case(
        "ahead, broken",
        LINE,
        database("1111", lineage={"1111": ("0abc",)}, broken_statements=BROKEN),
        S.STATEMENT_BROKEN,
        (),
        ("1111",),
    ),
    Case(
        "unversioned, broken",
        LINE,
        database(has_other_tables=True, broken_statements=BROKEN, **NO_TABLE),
        S.UNVERSIONED,
        ALL,
    ),
    Case("behind, broken", LINE, database("beef", broken_statements=BROKEN), S.BEHIND, ("0abc",)),
    Case("never migrated, broken", LINE, database(broken_statements=BROKEN, **NO_TABLE), S.NEVER_MIGRATED, ALL),
    Case("diverged, broken", LINE, database("1111", broken_statements=BROKEN), S.DIVERGED, ALL, ("1111",)),
)


def failures(judge: Judge) -> list[str]:
    """The names of the cases in which `judge` is wrong."""
    return [case.name for case in CASES if not _right(case, judge(case.expected, case.observed))]


def _right(case: Case, status: SchemaStatus) -> bool:
    traffic, upgrade = TRAFFIC_AND_UPGRADE[case.state]
    return (
        status.state is case.state
        and status.servable == (traffic and not case.observed.broken_statements)
        and status.upgradable == upgrade
        and status.missing == case.missing
        and status.unknown == case.unknown
        and status.code_heads == case.expected.heads
        and status.database_revisions == case.observed.revisions
    )
