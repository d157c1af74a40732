"""The verdict, and the proof that this suite would notice a wrong one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from migration_gate.expected import Expected
from migration_gate.observed import BrokenStatement, LastRun, Observed, Running
from migration_gate.states import RULES, State
from migration_gate.status import SchemaStatus, judge, unreachable
from migration_gate.text import as_text
from tests.migration_gate.verdict_cases import (
    CASES,
    COMPETING,
    LINE,
    TRAFFIC_AND_UPGRADE,
    Case,
    Judge,
    database,
    failures,
)


def _always_current(expected: Expected, observed: Observed) -> SchemaStatus:
    return replace(judge(expected, observed), state=State.CURRENT)


def _always_servable(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return status if status.servable else replace(status, state=State.AHEAD_COMPATIBLE)


def _by_name(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    if status.state not in {State.BEHIND, State.AHEAD_COMPATIBLE, State.DIVERGED}:
        return status
    behind = max(observed.revisions) < max(expected.heads)
    return replace(status, state=State.BEHIND if behind else State.AHEAD_COMPATIBLE)


def _without_lineage(expected: Expected, observed: Observed) -> SchemaStatus:
    return judge(expected, replace(observed, applied={}))


def _lineage_over_code(expected: Expected, observed: Observed) -> SchemaStatus:
    told = {
        id_: replace(known, parents=tuple(observed.lineage.get(id_, known.parents)))
        for id_, known in expected.revisions.items()
    }
    return judge(Expected(expected.heads, told), observed)


def _without_statements(expected: Expected, observed: Observed) -> SchemaStatus:
    return judge(expected, replace(observed, broken_statements=()))


def _statements_first(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return replace(status, state=State.STATEMENT_BROKEN) if observed.broken_statements else status


def _unknown_is_ahead(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return replace(status, state=State.AHEAD_COMPATIBLE) if status.unknown else status


def _any_head_will_do(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return replace(status, state=State.CURRENT) if set(expected.heads) & set(observed.revisions) else status


def _any_difference_is_behind(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return replace(status, state=State.BEHIND) if set(expected.heads) != set(observed.revisions) else status


def _privileges_ignored(expected: Expected, observed: Observed) -> SchemaStatus:
    return judge(expected, replace(observed, version_table_readable=True))


def _other_tables_ignored(expected: Expected, observed: Observed) -> SchemaStatus:
    return judge(expected, replace(observed, has_other_tables=False))


def _empty_version_table_ignored(expected: Expected, observed: Observed) -> SchemaStatus:
    return judge(expected, replace(observed, has_version_table=bool(observed.revisions), version_table_readable=True))


def _only_heads_missing(expected: Expected, observed: Observed) -> SchemaStatus:
    status = judge(expected, observed)
    return replace(status, missing=tuple(id_ for id_ in status.missing if id_ in expected.heads))


def _only_contractions_speak(expected: Expected, observed: Observed) -> SchemaStatus:
    applied = {
        id_: each if each.phase == "contract" else replace(each, minimum_code=None)
        for id_, each in observed.applied.items()
    }
    return judge(expected, replace(observed, applied=applied))


MUTANTS = (
    _only_contractions_speak,
    _always_current,
    _always_servable,
    _by_name,
    _without_lineage,
    _lineage_over_code,
    _without_statements,
    _statements_first,
    _unknown_is_ahead,
    _any_head_will_do,
    _any_difference_is_behind,
    _privileges_ignored,
    _other_tables_ignored,
    _empty_version_table_ignored,
    _only_heads_missing,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_follows_from_the_graph_and_the_ledger(case: Case) -> None:
    status = judge(case.expected, case.observed)

    assert status.state is case.state
    assert (status.missing, status.unknown) == (case.missing, case.unknown)


def test_the_real_judge_is_right_in_every_case() -> None:
    assert failures(judge) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_cases_catch_a_judge_that_is_wrong_in_one_way(mutant: Judge) -> None:
    assert failures(mutant) != []


def test_the_cases_hold_every_state_that_a_database_which_answers_can_be_in() -> None:
    assert {case.state for case in CASES} == set(State) - {State.UNREACHABLE}


def test_the_policy_says_of_every_state_what_may_happen() -> None:
    assert {state: (policy.traffic, policy.upgrade) for state, policy in RULES.items()} == TRAFFIC_AND_UPGRADE
    assert set(RULES) == set(State)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_verdict_but_current_says_what_caused_it_and_what_mends_it(case: Case) -> None:
    status = judge(case.expected, case.observed)

    assert bool(status.cause) == bool(status.solution) == (status.state is not State.CURRENT)
    assert "library" in status.evidence
    assert status.warning == (status.servable and status.state is not State.CURRENT)
    assert as_text(status).startswith(f"{status.state.value}: ")
    assert status.solution in as_text(status)


def test_an_unreachable_database_gets_neither_traffic_nor_an_upgrade() -> None:
    status = unreachable(LINE, "nothing listens")

    assert status.state is State.UNREACHABLE
    assert not status.servable
    assert not status.upgradable
    assert status.code_heads == ("0abc",)
    assert status.evidence == "nothing listens"
    assert status.cause
    assert status.solution


def test_the_evidence_of_a_broken_statement_names_it_and_counts_the_others() -> None:
    broken = tuple(BrokenStatement(name, "42P01", f"no table for {name}") for name in ("lend", "return", "renew"))

    evidence = judge(LINE, database("0abc", broken_statements=broken)).evidence

    assert "statement lend: no table for lend (SQLSTATE 42P01) (and 2 more)" in evidence


def test_the_evidence_of_missing_privileges_names_the_role() -> None:
    assert "'reader'" in judge(LINE, database(version_table_readable=False)).evidence


def test_a_verdict_is_json_with_its_policy() -> None:
    document = json.loads(json.dumps(judge(LINE, database("beef")).as_dict()))

    assert document["state"] == "behind"
    assert (document["servable"], document["upgradable"]) == (False, True)
    assert document["missing"] == ["0abc"]
    assert document["database_revisions"] == ["beef"]
    assert document["code_heads"] == ["0abc"]


def test_an_upgrade_that_would_be_refused_is_advised_only_after_what_allows_it() -> None:
    status = judge(COMPETING, database("root"))

    assert (status.state, status.upgradable) == (State.BEHIND, False)
    merge, upgrade = RULES[State.MULTIPLE_HEADS].solution, RULES[State.BEHIND].solution
    assert status.solution == f"first, because of multiple_heads: {merge}; then: {upgrade}"
    assert status.findings[0].solution == status.solution
    assert judge(LINE, database("beef")).solution == upgrade


def test_people_are_told_who_migrates_and_how_the_last_run_ended() -> None:
    run = Running("host:7", datetime(2026, 11, 27, 18, 0, tzinfo=UTC), planned=3, done=1, revision="beef")
    failed = LastRun("upgrade", "failed", "2026-11-27T18:00:00+00:00", "the lock was not available")

    assert "host:7 is migrating since 2026-11-27 18:00:00 UTC: 1 of 3 revisions done, at revision beef" in as_text(
        judge(LINE, database("f00d", running=run))
    )
    told = as_text(judge(LINE, database("f00d", last_run=failed)))
    assert "the last run (upgrade, 2026-11-27 18:00:00) failed: the lock was not available" in told
    killed = as_text(judge(LINE, database("f00d", last_run=replace(failed, result="abandoned", error=None))))
    assert "the last run (upgrade, 2026-11-27 18:00:00) was killed before its end" in killed
    assert "last run" not in as_text(judge(LINE, database("0abc", last_run=replace(failed, result="succeeded"))))


def test_people_are_told_how_far_the_attempt_came_where_the_database_is_away() -> None:
    assert "the attempt ended at: tcp" in as_text(unreachable(LINE, "connection refused", rung="tcp"))


def test_progress_makes_no_other_verdict_and_is_told_to_machines() -> None:
    run = Running("host:7", datetime(2026, 11, 27, 18, 0, tzinfo=UTC), planned=3, done=1, revision="beef")
    before, later = (judge(LINE, database("f00d", running=replace(run, done=done))) for done in (0, 1))

    assert before == later
    assert json.loads(json.dumps(later.as_dict()))["running"] == {
        "name": "host:7",
        "started_at": "2026-11-27T18:00:00+00:00",
        "planned": 3,
        "done": 1,
        "revision": "beef",
    }


@pytest.mark.parametrize("name", ["public.book_title_ccnew", "public.book_title_ccold1", 'public."Book title_ccnew"'])
def test_of_what_reindex_left_over_only_the_removal_is_advised(name: str) -> None:
    verdict = judge(LINE, database("0abc", invalid_indexes=(name,)))

    assert verdict.solution == f"DROP INDEX CONCURRENTLY {name}, once no REINDEX CONCURRENTLY is at work there"
