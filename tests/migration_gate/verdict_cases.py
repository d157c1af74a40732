"""What `judge` must say, as data: the oracle that the real judge passes and every mutant fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from migration_gate.expected import Expected, Revision
from migration_gate.observed import Applied, BrokenStatement, Observed, UnfinishedStep
from migration_gate.states import State
from migration_gate.status import SchemaStatus

Judge = Callable[[Expected, Observed], SchemaStatus]

# Written down once more, so that a change to the gate's own table is a change to this one.
TRAFFIC_AND_UPGRADE = {
    State.NEVER_MIGRATED: (False, True),
    State.UNVERSIONED: (True, False),
    State.BEHIND: (False, True),
    State.CURRENT: (True, True),
    State.AHEAD_COMPATIBLE: (True, False),
    State.DIVERGED: (False, False),
    State.AHEAD_INCOMPATIBLE: (False, False),
    State.TAMPERED: (True, False),
    State.MULTIPLE_HEADS: (True, False),
    State.BROKEN_GRAPH: (True, False),
    State.INCOMPLETE: (True, True),
    State.DRIFTED: (True, False),
    State.WRONG_DATABASE: (False, False),
    State.STATEMENT_BROKEN: (False, False),
    State.PRIVILEGES_MISSING: (False, False),
    State.UNREACHABLE: (False, False),
}


def graph(edges: Mapping[str, tuple[str, ...]], *heads: str, labelled: tuple[str, ...] = ()) -> Expected:
    """A revision graph out of its edges, child to parents, parents first; `labelled` have a branch label each."""
    revisions = {
        id_: Revision(id_, parents, f"{id_}.py", f"test:{id_}", (f"of {id_}",) if id_ in labelled else ())
        for id_, parents in edges.items()
    }
    return Expected(heads, MappingProxyType(revisions), project="the library")


def database(*revisions: str, **facts: Any) -> Observed:
    """A database with a version table that holds `revisions`; `facts` replaces what else is known of it.

    `lineage` is short for a ledger of which only the edges matter.
    """
    lineage: Mapping[str, tuple[str, ...]] = facts.pop("lineage", {})
    facts["applied"] = {id_: Applied(parents) for id_, parents in lineage.items()} | facts.get("applied", {})
    usual = {"has_version_table": True, "version_table_readable": True, "has_other_tables": bool(revisions)}
    return Observed(database="library", role="reader", revisions=tuple(sorted(revisions)), **(usual | facts))


# Ids that sort against their history, so that nothing can be concluded from names.
LINE = graph({"f00d": (), "beef": ("f00d",), "0abc": ("beef",)}, "0abc")
TWO_HEADS = graph({"root": (), "zz": ("root",), "aa": ("root",)}, "aa", "zz", labelled=("aa", "zz"))
COMPETING = graph({"root": (), "zz": ("root",), "aa": ("root",)}, "aa", "zz", labelled=("zz",))
NO_GRAPH = Expected.broken("revision beef names a parent that no file has")
MERGED = graph({"root": (), "zz": ("root",), "aa": ("root",), "mm": ("aa", "zz")}, "mm")
ONE_BRANCH = graph({"root": (), "aa": ("root",)}, "aa")

BROKEN = (BrokenStatement("get_book", "42703", 'column "title" does not exist'),)
FORBIDDEN = (BrokenStatement("get_book", "42501", "permission denied for table book"),)
HALFWAY = (UnfinishedStep("0abc", 1, "CREATE INDEX CONCURRENTLY book_title ON book (title)", "2026-11-21 04:00:00+00"),)
CONTRACTION = Applied(("0abc",), phase="contract")
GIVES_BACK = Applied(("1111",), phase="expand", minimum_code="0abc")
AGAIN = Applied(("2222",), phase="contract")
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
    also: frozenset[State] = frozenset()


def also(*states: State) -> frozenset[State]:
    """What is found beside the state itself."""
    return frozenset(states)


def ahead(**facts: Any) -> Observed:
    """A database that a newer release has brought one revision further, of which the ledger says `facts`."""
    return database("1111", applied={"1111": Applied(("0abc",), **facts)})


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
    Case(
        "a contraction that a later revision gives back",
        LINE,
        database("2222", applied={"1111": CONTRACTION, "2222": GIVES_BACK}),
        S.AHEAD_COMPATIBLE,
        (),
        ("2222",),
    ),
    Case(
        "a contraction after the one that was given back",
        LINE,
        database("3333", applied={"1111": CONTRACTION, "2222": GIVES_BACK, "3333": AGAIN}),
        S.AHEAD_INCOMPATIBLE,
        (),
        ("3333",),
    ),
    Case(
        "a contraction beside a revision that speaks for another line",
        LINE,
        database("1111", "2222", applied={"1111": CONTRACTION, "2222": replace(GIVES_BACK, parents=("0abc",))}),
        S.AHEAD_INCOMPATIBLE,
        (),
        ("1111", "2222"),
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
        also=also(S.AHEAD_COMPATIBLE),
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
    Case("ahead, expanded", LINE, ahead(phase="expand"), S.AHEAD_COMPATIBLE, (), ("1111",)),
    Case("ahead, data moved", LINE, ahead(phase="data"), S.AHEAD_COMPATIBLE, (), ("1111",)),
    Case("ahead, contracted", LINE, ahead(phase="contract"), S.AHEAD_INCOMPATIBLE, (), ("1111",)),
    Case(
        "ahead, contracted and proven for this code",
        LINE,
        ahead(phase="contract", minimum_code="0abc"),
        S.AHEAD_COMPATIBLE,
        (),
        ("1111",),
    ),
    Case(
        "ahead, contracted and proven for older code",
        LINE,
        ahead(phase="contract", minimum_code="beef"),
        S.AHEAD_COMPATIBLE,
        (),
        ("1111",),
    ),
    Case(
        "ahead, expanded and refuted for this code",
        LINE,
        ahead(phase="expand", minimum_code="1111"),
        S.AHEAD_INCOMPATIBLE,
        (),
        ("1111",),
    ),
    Case(
        "two ahead, the first of them contracted",
        LINE,
        database("0000", applied={"0000": Applied(("1111",)), "1111": Applied(("0abc",), phase="contract")}),
        S.AHEAD_INCOMPATIBLE,
        (),
        ("0000",),
    ),
    Case(
        "a contraction that this code knows",
        LINE,
        database("0abc", applied={"beef": Applied(("f00d",), phase="contract")}),
        S.CURRENT,
    ),
    Case(
        "edited after it was applied",
        LINE,
        database("0abc", applied={"beef": Applied(("f00d",), checksum="test:other")}),
        S.TAMPERED,
    ),
    Case(
        "edited after it was applied, behind",
        LINE,
        database("beef", applied={"beef": Applied(("f00d",), checksum="test:other")}),
        S.BEHIND,
        ("0abc",),
        also=also(S.TAMPERED),
    ),
    Case(
        "edited before it is applied",
        LINE,
        database("beef", applied={"0abc": Applied(("beef",), "downgrade", checksum="test:other")}),
        S.BEHIND,
        ("0abc",),
    ),
    Case(
        "a checksum of another kind",
        LINE,
        database("0abc", applied={"beef": Applied(("f00d",), checksum="code-sha256:other")}),
        S.CURRENT,
    ),
    Case("heads that compete", COMPETING, database("aa", "zz"), S.MULTIPLE_HEADS),
    Case("heads that compete, behind", COMPETING, database("aa"), S.BEHIND, ("zz",), also=also(S.MULTIPLE_HEADS)),
    Case("no graph", NO_GRAPH, database("0abc"), S.BROKEN_GRAPH, (), ("0abc",)),
    Case(
        "no graph, broken",
        NO_GRAPH,
        database("0abc", broken_statements=BROKEN),
        S.STATEMENT_BROKEN,
        (),
        ("0abc",),
        also=also(S.BROKEN_GRAPH),
    ),
    Case("no graph, nothing at all", NO_GRAPH, database(**NO_TABLE), S.NEVER_MIGRATED, also=also(S.BROKEN_GRAPH)),
    Case("stopped halfway", LINE, database("beef", unfinished=HALFWAY), S.BEHIND, ("0abc",), also=also(S.INCOMPLETE)),
    Case("an invalid index", LINE, database("0abc", invalid_indexes=("public.book_title",)), S.INCOMPLETE),
    Case(
        "a constraint that was never validated",
        LINE,
        database("0abc", unvalidated_constraints=("public.book.book_check",)),
        S.INCOMPLETE,
    ),
    Case(
        "a constraint that a coming revision may validate",
        LINE,
        database("beef", unvalidated_constraints=("public.book.book_check",)),
        S.BEHIND,
        ("0abc",),
    ),
    Case("changed by hand", LINE, database("0abc", drift=("column public.book.isbn was added: text",)), S.DRIFTED),
    Case("not changed by hand", LINE, database("0abc", drift=()), S.CURRENT),
    Case(
        "changed by hand, and broken by it",
        LINE,
        database("0abc", drift=("column public.book.title is gone",), broken_statements=BROKEN),
        S.STATEMENT_BROKEN,
        also=also(S.DRIFTED),
    ),
    Case("another project's ledger", LINE, database("0abc", project="the museum"), S.WRONG_DATABASE),
    Case("this project's ledger", LINE, database("0abc", project="the library"), S.CURRENT),
    Case(
        "this code's revisions in a schema where the role does not look",
        LINE,
        database(elsewhere={"books": ("0abc",)}, **NO_TABLE),
        S.WRONG_DATABASE,
        ALL,
    ),
    Case(
        "another's revisions in another schema",
        LINE,
        database(elsewhere={"museum": ("9999",)}, **NO_TABLE),
        S.NEVER_MIGRATED,
        ALL,
    ),
    Case(
        "a schema that may not be used", LINE, database(unusable_schema="public", **NO_TABLE), S.PRIVILEGES_MISSING, ALL
    ),
    Case("statements that may not be run", LINE, database("0abc", broken_statements=FORBIDDEN), S.PRIVILEGES_MISSING),
)


def failures(judge: Judge) -> list[str]:
    """The names of the cases in which `judge` is wrong."""
    return [case.name for case in CASES if not _right(case, judge(case.expected, case.observed))]


def _right(case: Case, status: SchemaStatus) -> bool:
    traffic, upgrade = TRAFFIC_AND_UPGRADE[case.state]
    return (
        status.state is case.state
        and status.servable == (traffic and not case.observed.broken_statements)
        and status.upgradable == (upgrade and all(TRAFFIC_AND_UPGRADE[state][1] for state in case.also))
        and {finding.state for finding in status.findings} == {case.state, *case.also} - {State.CURRENT}
        and status.missing == case.missing
        and status.unknown == case.unknown
        and status.code_heads == case.expected.heads
        and status.database_revisions == case.observed.revisions
    )
