"""The proof that is committed is one of this tree, and its check is red where it is not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.alerts import events, report, sources
from tests.alerts.rig.rig import RULES
from tests.processes import ROOT

_SOURCES = (*sources.CONFIGURATION, *sources.MEASURING)


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


def test_a_comment_makes_no_proof_stale(rounds: list[dict[str, Any]], tree: Path) -> None:
    for name in (*_SOURCES, str(RULES / "immediate.yml")):
        with (tree / name).open("a") as file:
            file.write("\n# A remark.\n")

    assert set(report.faults_of_rounds(rounds, tree)) == set(report.faults_of_rounds(rounds))


def test_a_new_alert_needs_a_fault(rounds: list[dict[str, Any]], tree: Path) -> None:
    rule = 'groups: [{name: new, rules: [{alert: Unproven, expr: "up == 0"}]}]\n'
    (tree / RULES / "new.yml").write_text(rule)

    assert "Unproven has no fault: write one in tests/alerts/faults/" in report.faults_of_rounds(rounds, tree)


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

    assert makes - {*sources.MEASURING} == set()
