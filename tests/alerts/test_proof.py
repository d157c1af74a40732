"""The proof that is committed is one of this tree, and its check is red where it is not."""

from __future__ import annotations

import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts import events, report, sources
from tests.alerts.fault import IMMEDIATE
from tests.alerts.rig.rig import RULES
from tests.docs.tables import names_in, numbers_in, tables
from tests.processes import ROOT

_SOURCES = (*sources.CONFIGURATION, *sources.MEASURING, *sources.MEASURING_FOR)


@pytest.fixture
def rounds() -> list[dict[str, Any]]:
    return events.read()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a proof is made from, to be changed."""
    shutil.copytree(ROOT / RULES, tmp_path / RULES)
    for name in _SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_proof_is_of_this_tree() -> None:
    assert list(report.faults_of_proof()) == []


def test_a_rule_that_has_changed_makes_the_proof_of_its_alert_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    file = tree / RULES / "immediate.yml"
    text = file.read_text()
    file.write_text(text.replace('max by (service, env) (up{job="taskmanager"}) == 0', "up == 0"))
    assert file.read_text() != text

    found = set(report.faults_of_rounds(rounds, tree)) - set(report.faults_of_rounds(rounds))

    assert found
    assert all(line.startswith("ServiceDown") and "made before a change of rules" in line for line in found)


def test_a_metric_that_is_computed_otherwise_makes_every_proof_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    file = tree / "taskmanager/observability/event_loop.py"
    file.write_text(file.read_text().replace("INTERVAL_S = 0.1", "INTERVAL_S = 1.0"))

    found = [line for line in report.faults_of_rounds(rounds, tree) if "made before a change of metrics" in line]

    assert {line.partition(",")[0] for line in found} == {each["alert"] for each in rounds} - {"none"}


@pytest.mark.parametrize(("name", "alerts"), sources.MEASURING_FOR.items())
def test_a_metric_of_single_alerts_makes_the_proofs_of_those_stale_alone(
    name: str, alerts: tuple[str, ...], rounds: list[dict[str, Any]], tree: Path
) -> None:
    file = tree / name
    file.write_text(f"{file.read_text()}\nCHANGED = True\n")

    found = set(report.faults_of_rounds(rounds, tree)) - set(report.faults_of_rounds(rounds))

    assert {line.partition(",")[0] for line in found} == set(alerts)


def test_a_slower_scrape_makes_every_proof_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    file = tree / sources.PROMETHEUS
    file.write_text(file.read_text().replace("scrape_interval: 1s", "scrape_interval: 2s"))

    found = [line for line in report.faults_of_rounds(rounds, tree) if "made before a change of prometheus" in line]

    assert {line.partition(",")[0] for line in found} == {each["alert"] for each in rounds} - {"none"}


def test_one_more_job_or_another_address_makes_no_proof_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    file = tree / sources.PROMETHEUS
    text = file.read_text().replace("app:8000", "app:8001")
    file.write_text(f"{text}\n  - job_name: postgres\n    static_configs: [{{targets: [postgres-exporter:9187]}}]\n")

    assert "postgres" in [job["job_name"] for job in yaml.safe_load(file.read_text())["scrape_configs"]]
    assert set(report.faults_of_rounds(rounds, tree)) == set(report.faults_of_rounds(rounds))


def test_a_comment_makes_no_proof_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    for name in (*_SOURCES, str(RULES / "immediate.yml")):
        with (tree / name).open("a") as file:
            file.write("\n# A remark.\n")

    assert set(report.faults_of_rounds(rounds, tree)) == set(report.faults_of_rounds(rounds))


def test_a_new_alert_needs_a_fault(rounds: list[dict[str, Any]], tree: Path) -> None:
    rule = 'groups: [{name: new, rules: [{alert: Unproven, expr: "up == 0"}]}]\n'
    (tree / RULES / "new.yml").write_text(rule)

    assert "Unproven has no fault: write one in tests/alerts/faults/" in report.faults_of_rounds(rounds, tree)


def test_an_immediate_alert_that_came_late_once_is_red(rounds: list[dict[str, Any]]) -> None:
    late = [{**each, "told_s": 5.0} if _first(each, "ServiceDown") else each for each in rounds]

    assert "ServiceDown: told after 5.00 s, and 5 s are promised" in report.faults_of_rounds(late)


def test_a_round_that_failed_is_red(rounds: list[dict[str, Any]]) -> None:
    failed = [
        {**each, "passed": False, "problems": ["it rained"]} if _first(each, "ServiceDown") else each for each in rounds
    ]

    assert any("it rained" in line for line in report.faults_of_rounds(failed))


def test_a_fault_without_a_round_is_red(rounds: list[dict[str, Any]]) -> None:
    fewer = [each for each in rounds if (each["alert"], each["fault"]) != ("ServiceDown", "hung")]

    assert any("ServiceDown: the fault hung is not proven" in line for line in report.faults_of_rounds(fewer))


def test_every_module_that_makes_metrics_is_among_the_sources() -> None:
    folders = ("taskmanager", "migration_gate")
    makes = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"MetricFamily|\bGauge\(|\bCounter\(", path.read_text())
    }

    assert makes - {*sources.MEASURING, *sources.MEASURING_FOR} == set()


@pytest.mark.parametrize("guide", ["docs/MONITORING.md", "docs/fr/MONITORING.md"])
def test_the_guide_gives_the_measured_delays_of_the_immediate_alerts(guide: str, rounds: list[dict[str, Any]]) -> None:
    rows = [row for table in tables((ROOT / guide).read_text(encoding="utf-8")) for row in table[1:] if len(row) == 3]
    told = {name: numbers_in(f"{row[1]} {row[2]}") for row in rows for name in names_in(row[0]) if name in IMMEDIATE}

    expected = {}
    for alert in IMMEDIATE:
        delays = [each["told_s"] for each in rounds if each["alert"] == alert]
        expected[alert] = [round(statistics.median(delays), 2), round(max(delays), 2)]
    assert told == expected


def test_the_rounds_name_no_machine_and_no_person() -> None:
    text = events.EVENTS.read_text()

    assert "@" not in text
    assert "/home" not in text
    assert "/tmp" not in text  # noqa: S108


def _first(each: dict[str, Any], alert: str) -> bool:
    return (each["alert"], each["round"]) == (alert, 1)
