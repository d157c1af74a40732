"""The verdict, and the proof that this suite would notice a wrong one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from migration_gate.expected import Expected
from migration_gate.observed import BrokenStatement, Observed
from migration_gate.states import RULES, State
from migration_gate.status import SchemaStatus, judge, unreachable
from migration_gate.text import as_text
from tests.migration_gate.verdict_cases import (
    CASES,
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


MUTANTS = (
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
