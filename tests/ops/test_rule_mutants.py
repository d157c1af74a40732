"""Every fault that can be put into a rule is noticed, and the harness that says so can say the contrary."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ops.equivalent_mutants import EQUIVALENT
from tests.ops.mutations import Mutant, mutants
from tests.ops.rule_files import TestGroup, shipped_rules, shipped_tests, with_records
from tests.ops.rule_mutants import (
    InvalidMutant,
    NoTest,
    concerning,
    judge,
    main,
    objection,
    report,
    rules_file,
    run,
    scenes,
    write_tests,
)
from tests.processes import lacking

RULES = shipped_rules()
BY_ID = {rule.id: rule for rule in RULES}


@pytest.fixture(autouse=True)
def _promtool_is_there() -> None:
    if shutil.which("promtool") is None:
        lacking("promtool", "it comes with Prometheus: apt-get install prometheus")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", sorted({rule.file.stem for rule in RULES}))
def test_every_mutant_of_the_rules_is_killed(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    # One at once: the other files are with other workers.
    outcomes = run(RULES, shipped_tests(), [rule for rule in RULES if rule.file.stem == file], at_once=1)

    text, good = report(outcomes)
    with capsys.disabled():
        print(f"\n{file}: {text.splitlines()[-1]}")
    assert good, text


def test_every_rule_has_mutants_of_its_expression() -> None:
    for rule in RULES:
        faults = {mutant.operator for mutant in mutants(rule)}
        assert faults & {"metric renamed", "threshold"}, rule.id
        assert ("for" in faults) == ("for" in rule.body)
        assert ("keep_firing_for" in faults) == ("keep_firing_for" in rule.body)


def test_no_two_mutants_are_taken_for_one() -> None:
    found = [mutant for rule in RULES for mutant in mutants(rule)]

    assert len({mutant.id for mutant in found}) == len(found) > 1500
    assert all(mutant.body != mutant.rule.body for mutant in found)


def test_what_is_called_equivalent_exists_and_has_a_reason() -> None:
    found = {mutant.id for rule in RULES for mutant in mutants(rule)}

    assert set(EQUIVALENT) <= found
    assert all(len(reason.split()) > 5 for reason in EQUIVALENT.values())
    assert len(EQUIVALENT) <= 5


def test_a_mutant_that_no_test_notices_is_reported() -> None:
    rule = BY_ID["ServiceDown"]
    only_one = [group for group in shipped_tests() if group.name.startswith("ServiceDown: fires")]
    blind = Mutant(rule, "aggregation swapped", "here", {**rule.body, "annotations": rule.body["annotations"]})

    outcomes = judge(rule, RULES, only_one, [blind])

    assert [outcome.killed for outcome in outcomes] == [False]
    text, good = report(outcomes)
    assert not good
    assert "SURVIVED  ServiceDown: aggregation swapped: here" in text
    assert "0 of 1 mutants killed (0.0%)" in text


def test_tests_that_ask_for_less_kill_less() -> None:
    rule = BY_ID["ServiceDown"]
    firing = [group for group in shipped_tests() if group.name.startswith("ServiceDown: fires")]

    outcomes = judge(rule, RULES, firing, list(mutants(rule)))

    survived = {outcome.mutant.operator for outcome in outcomes if not outcome.killed}
    assert {"matcher dropped"} <= survived
    assert not report(outcomes)[1]


def test_a_rule_that_no_test_names_is_an_error() -> None:
    with pytest.raises(NoTest, match="no test names ServiceDown"):
        judge(BY_ID["ServiceDown"], RULES, [], list(mutants(BY_ID["ServiceDown"])))


def test_tests_that_fail_without_any_mutant_are_an_error() -> None:
    rule = BY_ID["ServiceDown"]
    broken = replace(rule, body={**rule.body, "expr": 'max by (service, env) (up{job="taskmanager"}) == 7'})
    rules = [broken if each is rule else each for each in RULES]

    with pytest.raises(NoTest, match="fails as it is"):
        judge(broken, rules, shipped_tests(), [])


def test_a_mutant_that_prometheus_would_refuse_is_no_kill() -> None:
    rule = BY_ID["ServiceDown"]
    nonsense = Mutant(rule, "nonsense", "a bracket lost", {**rule.body, "expr": "max by (service"})

    with pytest.raises(InvalidMutant):
        judge(rule, RULES, shipped_tests(), [nonsense])


def test_the_command_ends_with_1_where_one_survives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_firing = tuple(group for group in shipped_tests() if "just under" not in group.name)
    monkeypatch.setattr("tests.ops.rule_mutants.shipped_tests", lambda: only_firing)

    assert main(["GateOverridden", "ServiceDown"]) == 1
    assert "SURVIVED  ServiceDown" in capsys.readouterr().out


def test_the_command_ends_with_0_where_all_are_killed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["GateOverridden"]) == 0
    assert "(100.0%)" in capsys.readouterr().out


def test_a_mutant_that_is_wrongly_called_equivalent_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = BY_ID["GateOverridden"]
    mutant = next(mutants(rule))
    monkeypatch.setitem(EQUIVALENT, mutant.id, "it was thought to change nothing at all")

    text, good = report(judge(rule, RULES, shipped_tests(), [mutant]))

    assert not good
    assert f"called equivalent, and killed  {mutant.id}" in text


# What keeps an alert silent in a scene, taken away: so the scene must be loud then.
UNGUARDED = [
    ("ServiceDown", "max by", "min by"),
    ("DatabaseUnreachable", '"starting"} == 1', '"starting"} == 2'),
    ("SchemaNotMigrated", "migrating:max == 1", "migrating:max == 2"),
    ("DatabaseError", "[15s]", "[1s]"),
    ("DatabaseError", "migrating:max[15s]) == 1", "migrating:max[15s]) == 2"),
    ("LockWait", "migrating:max == 1", "migrating:max == 2"),
    ("SchemaSuspect", "migrating:max == 1", "migrating:max == 2"),
    ("HighResponseTime", "> 2", "> 1"),
    ("service:http_errors:increase1m", "- sum", "- 0 * sum"),
    ("ReplicaDown", "30s", "0s"),
    ("MetricMissing slo:sli_error:ratio_rate5m", "2m", "0s"),
    ("AlertmanagerUnreachable", "15s", "0s"),
    ("ServiceAbsent", "15s", "0s"),
]


@pytest.mark.parametrize(("id_", "guard", "without"), UNGUARDED)
def test_a_scene_is_loud_once_its_guard_is_gone(id_: str, guard: str, without: str, tmp_path: Path) -> None:
    rule = BY_ID[id_]
    body = {key: text.replace(guard, without) if isinstance(text, str) else text for key, text in rule.body.items()}
    assert body != rule.body
    alerts = [rule] if rule.is_alert else [each for each in RULES if each.is_alert and rule.name in each.asks_for]
    judged = with_records(alerts, RULES)
    quiet = write_tests(scenes(shipped_tests()), {each.group for each in judged}, tmp_path)

    assert objection(rules_file(judged, {rule.id: body}), quiet) is not None
    assert objection(rules_file(judged, {}), quiet) is None


def test_the_tests_of_a_rule_are_those_that_name_it() -> None:
    kept = concerning(BY_ID["MetricMissing taskmanager_app_state"], shipped_tests())
    expected = [alert for group in kept for test in group.body["alert_rule_test"] for alert in test["exp_alerts"]]

    assert {alert["exp_labels"]["metric"] for alert in expected} == {"taskmanager_app_state"}
    assert isinstance(kept[0], TestGroup)
