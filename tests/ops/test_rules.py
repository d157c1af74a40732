"""The rules and promtool's tests of them: complete, consistent, and true of the code that they speak of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from migration_gate.states import State
from taskmanager.observability.request_metrics import DURATION_BUCKETS_S
from tests.ops.promql import metrics, selectors
from tests.ops.promtool import promtool
from tests.ops.rule_files import STATE_CODE, TESTS, Rule, shipped_rules, shipped_tests
from tests.processes import ROOT

RULES = shipped_rules()
ALERTS = [rule for rule in RULES if rule.is_alert]
RECORDS = [rule for rule in RULES if not rule.is_alert]
NAMES = sorted({rule.name for rule in ALERTS})

IMMEDIATE = {
    "DatabaseError",
    "DatabaseUnreachable",
    "MigrationFailed",
    "SchemaNotMigrated",
    "SchemaMismatch",
    "SchemaBroken",
    "ServiceDown",
}
BOARDS = {"taskmanager-incident", "taskmanager-api", "taskmanager-database", "taskmanager-slo", "taskmanager-meta"}

# What the service tells itself. The rest is Prometheus' and Alertmanager's.
OWN = re.compile(r"taskmanager_|migration_gate_|http_request|process_")
# How often it is scraped, and the others.
OWN_SCRAPE_S, SCRAPE_S = 1, 5
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

each_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.id)
each_name = pytest.mark.parametrize("name", NAMES)


def test_prometheus_would_load_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", *(str(file) for file in sorted({rule.file for rule in RULES})))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_ask_for(file: Path) -> None:
    done = promtool("test", "rules", str(file))

    assert done.returncode == 0, done.stdout + done.stderr


@each_alert
def test_an_alert_says_how_bad_it_is_and_by_which_code(rule: Rule) -> None:
    labels = rule.body["labels"]

    assert labels["severity"] in {"critical", "warning", "none"}
    assert labels["code"] == STATE_CODE or re.fullmatch(r"[a-z_]+", labels["code"])


@each_alert
def test_an_alert_says_what_is_wrong_in_sentences_and_where_to_go_on(rule: Rule) -> None:
    annotations = rule.body["annotations"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert annotations["runbook_url"] == f"docs/runbooks/{rule.body['labels']['code']}.md"
    assert annotations["dashboard_url"].removeprefix("/d/") in BOARDS
    for sentence in (annotations["summary"], annotations["description"]):
        assert re.match(r"[A-Z{]", sentence), sentence
        assert sentence.endswith((".", "{{ end }}.")), sentence
    assert len(annotations["summary"]) < 240


@each_alert
def test_a_template_asks_for_no_label_that_only_the_rule_sets(rule: Rule) -> None:
    """Prometheus expands them with the labels of the series, in which such a label is empty."""
    set_by_rule = {name for name, text in rule.body["labels"].items() if "$labels" not in text}
    texts = " ".join([*rule.body["annotations"].values(), *rule.body["labels"].values()])

    assert not set(re.findall(r"\$labels\.(\w+)", texts)) & set_by_rule


@each_name
def test_whatever_fires_says_of_which_service_and_environment(name: str) -> None:
    expected = [alert["exp_labels"] for test in _alert_tests(name) for alert in test["exp_alerts"] or ()]

    assert expected
    for labels in expected:
        assert {"severity", "code", "service", "env"} <= set(labels)


@pytest.mark.parametrize("code", sorted({code for rule in ALERTS for code in rule.codes}))
def test_there_is_a_runbook_for_each_code(code: str) -> None:
    assert (ROOT / "docs" / "runbooks" / f"{code}.md").is_file()


def test_every_state_that_somebody_must_mend_is_of_one_alert() -> None:
    told = [state for rule in ALERTS if rule.name.startswith("Schema") for state in rule.codes if state in set(State)]

    # What serves as it is, and what DatabaseUnreachable tells by another metric.
    quiet = {State.CURRENT, State.AHEAD_COMPATIBLE, State.UNREACHABLE}
    assert sorted(told) == sorted(set(State) - quiet)


def test_the_immediate_alerts_wait_for_nothing() -> None:
    group = [rule for rule in RULES if rule.group == "immediate"]

    assert {rule.name for rule in group if rule.is_alert} == IMMEDIATE
    assert {rule.interval for rule in group} == {"1s"}
    assert not any("for" in rule.body for rule in group)


@each_name
def test_an_alert_is_seen_to_fire_to_resolve_and_to_stay_silent_just_under(name: str) -> None:
    fires = resolves = under = False
    for group in shipped_tests():
        tests = [test for test in group.body.get("alert_rule_test", ()) if test["alertname"] == name]
        states = [bool(test["exp_alerts"]) for test in sorted(tests, key=lambda test: _seconds(test["eval_time"]))]
        fires = fires or any(states)
        resolves = resolves or any(states[at] and not any(states[at + 1 :]) for at in range(len(states) - 1))
        if group.name.startswith(f"{name}: just under"):
            under = under or (bool(states) and not states[0])

    assert fires
    # The one that tells that alerts get through never ends.
    assert (resolves, under) == ((False, False) if name == "Watchdog" else (True, True))


@pytest.mark.parametrize("name", sorted({rule.name for rule in RECORDS}))
def test_a_recorded_series_is_compared_with_numbers(name: str) -> None:
    asked = [test for group in shipped_tests() for test in group.expr_tests if name in metrics(test["expr"])]

    assert any(test["exp_samples"] for test in asked)


def test_the_histograms_of_the_tests_have_the_bounds_of_the_service() -> None:
    series = [
        each["series"]
        for group in shipped_tests()
        for each in group.body["input_series"]
        if each["series"].startswith("http_request_duration_seconds_bucket") and "le=" in each["series"]
    ]
    bounds: dict[str, list[str]] = {}
    for text in series:
        one = re.sub(r',le="[^"]*"', "", text)
        bounds.setdefault(one, []).extend(re.findall(r'le="([^"]*)"', text))

    assert len(bounds) > 3
    for found in bounds.values():
        assert found[: len(DURATION_BUCKETS_S) + 1] == [*map(str, DURATION_BUCKETS_S), "+Inf"]
        assert len(found) % (len(DURATION_BUCKETS_S) + 1) == 0


def test_every_metric_of_ours_that_a_rule_stands_on_is_missed_when_it_is_missing() -> None:
    listed = [rule.telling["metric"] for rule in ALERTS if rule.name == "MetricMissing"]
    stood_on = {name for rule in RULES for name in rule.asks_for if OWN.match(name)}

    assert len(listed) == len(set(listed))
    # BackupTooOld fires where its own are missing, which its tests show.
    of_backups = {name for name in stood_on if name.startswith("taskmanager_backup")}
    assert set(listed) == stood_on - of_backups | {"slo:sli_error:ratio_rate5m"}
    for rule in ALERTS:
        if rule.name == "MetricMissing":
            assert rule.telling["metric"] in rule.asks_for
            assert rule.telling["metric"] in rule.body["annotations"]["summary"] or ":" in rule.telling["metric"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_window_holds_four_points_at_least(rule: Rule) -> None:
    """Prometheus 3 leaves out the point at a window's beginning, so a shorter one may hold one point, which is none."""
    intervals_s = {each.name: _seconds(each.interval) for each in RECORDS}
    for selector in selectors(rule.expr):
        if selector.window is not None:
            name = selector.name.of(rule.expr)
            own = OWN.match(name) or 'job="taskmanager"' in selector.span.of(rule.expr)
            apart_s = intervals_s.get(name) or (OWN_SCRAPE_S if own else SCRAPE_S)
            assert _seconds(selector.window.of(rule.expr)) >= 4 * apart_s


def _seconds(duration: str) -> int:
    return sum(int(number) * UNIT_S[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def _alert_tests(name: str) -> list[dict[str, Any]]:
    return [
        test for group in shipped_tests() for test in group.body.get("alert_rule_test", ()) if test["alertname"] == name
    ]
