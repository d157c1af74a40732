"""Dashboards and alerts speak of the same: an alert leads to a board that shows what it stands on."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from migration_gate.metrics import RESULTS
from migration_gate.states import State
from ops.grafana.boards.alerts import ALERTS
from ops.grafana.boards.states import APP_STATES, RUN_RESULTS, SCHEMA_STATES
from taskmanager.database_errors import ErrorKind
from taskmanager.observability.service_state import AppState
from tests.ops.grafana_json import NAMES, panels, read, targets
from tests.ops.scene import CONSOLES
from tests.processes import ROOT

_STATE = "{{ $labels.state }}"


def _rules() -> dict[str, dict[str, Any]]:
    """Every alert's rule by its name, the last of several."""
    files = sorted((ROOT / "ops" / "prometheus" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


RULES = _rules()


def test_the_boards_know_every_alert_with_its_severity() -> None:
    told = {name: rule["labels"]["severity"] for name, rule in RULES.items() if name != "Watchdog"}

    assert {name: alert.severity for name, alert in ALERTS.items()} == told


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_boards_know_the_codes_of_an_alert(name: str) -> None:
    code = RULES[name]["labels"]["code"]

    if code == _STATE:
        asked = set(re.findall(r"\w+", " ".join(re.findall(r'state=~?"([^"]+)"', RULES[name]["expr"]))))
        assert set(ALERTS[name].codes) == asked & {state.value for state in State}
    else:
        assert ALERTS[name].codes == (code,)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_leads_to_a_board_with_a_panel_on_it(name: str) -> None:
    uid = RULES[name]["annotations"]["dashboard_url"].removeprefix("/d/")
    board = next((read(each) for each in NAMES if read(each)["uid"] == uid), None)

    assert board is not None, f"{uid} is no board"
    assert any(re.search(rf"Alert: .*\b{name}\b", panel["description"]) for panel in panels(board))


def test_every_state_has_its_word() -> None:
    assert set(SCHEMA_STATES) == {state.value for state in State}
    assert set(APP_STATES) == {state.value for state in AppState}


def test_every_result_of_a_run_has_its_word() -> None:
    assert set(RUN_RESULTS) == set(RESULTS)


_KINDS = re.compile(r'taskmanager_db_errors_total\{[^}]*?kind(=~|!~|!=|=)\\?"([^"\\]+)')


def _chosen_kinds(expression: str) -> set[str]:
    """The kinds of the database's errors that any selector of an expression reads."""
    return {
        kind.value
        for operator, pattern in _KINDS.findall(expression)
        for kind in ErrorKind
        if (re.fullmatch(pattern, kind) is None) == operator.startswith("!")
    }


def test_the_boards_count_the_errors_of_the_database_that_the_alert_counts() -> None:
    alerted = _chosen_kinds(RULES["DatabaseError"]["expr"])
    board = [target.expression for target in targets(read("database")) if target.panel == "Errors"]
    console = [
        line for line in (CONSOLES / "board.lib").read_text().splitlines() if "taskmanager_db_errors_total" in line
    ]

    assert alerted == {kind.value for kind in ErrorKind} - {"integrity", "data"}
    assert board
    assert console
    assert all(_chosen_kinds(expression) == alerted for expression in (*board, *console))
