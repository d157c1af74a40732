"""The dashboards hold what every board must hold, and each check of it finds what it looks for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.grafana.boards.__main__ import main
from tests.ops import grafana_checks
from tests.ops.grafana_checks import CHECKS, Check
from tests.ops.grafana_json import FOLDER, NAMES, Json, panels, read


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_board(name: str, check: Check) -> None:
    assert list(check(read(name))) == []


def _panel(board: Json, kind: str) -> Json:
    return next(panel for panel in panels(board) if panel["type"] == kind)


def _is_old(board: Json) -> None:
    board["schemaVersion"] = 36


def _is_an_export(board: Json) -> None:
    _panel(board, "timeseries")["targets"][0]["datasource"] = "${DS_PROMETHEUS}"


def _lies_over_another(board: Json) -> None:
    board["panels"][2]["gridPos"] = dict(board["panels"][1]["gridPos"])


def _has_a_number_twice(board: Json) -> None:
    board["panels"][2]["id"] = board["panels"][1]["id"]


def _does_not_say_what_is_normal(board: Json) -> None:
    _panel(board, "stat")["description"] = "The rate."


def _has_a_unit_that_grafana_does_not_know(board: Json) -> None:
    _panel(board, "timeseries")["fieldConfig"]["defaults"]["unit"] = "requests"


def _has_nothing_to_say_without_data(board: Json) -> None:
    del _panel(board, "stat")["fieldConfig"]["defaults"]["noValue"]


def _leads_to_a_runbook_that_is_not_there(board: Json) -> None:
    _panel(board, "stat")["links"] = [{"title": "Runbook", "url": "/public/runbooks/nothing.md"}]


def _leads_nowhere(board: Json) -> None:
    _panel(board, "timeseries")["links"] = []


def _has_a_limit_without_its_line(board: Json) -> None:
    for panel in panels(board):
        panel["targets"] = [target for target in panel["targets"] if not target["legendFormat"].startswith("limit ")]


def _has_a_limit_without_its_verdict(board: Json) -> None:
    for panel in panels(board):
        panel["targets"] = [target for target in panel["targets"] if target["legendFormat"] != "verdict"]


def _has_a_state_without_a_word(board: Json) -> None:
    for panel in panels(board):
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]:
            if mapping["type"] == "value":
                mapping["options"]["1"]["text"] = ""


def _divides_counters_as_they_stand(board: Json) -> None:
    target = _panel(board, "timeseries")["targets"][0]
    target["expr"] = 'sum(http_requests_total{status=~"5.."}) / sum(http_requests_total)'


def _uses_what_is_not_defined(board: Json) -> None:
    _panel(board, "timeseries")["targets"][0]["expr"] = 'up{job="$job"}'


def _offers_what_changes_nothing(board: Json) -> None:
    board["templating"]["list"].append(board["templating"]["list"][0] | {"name": "region"})


def _tells_people_apart(board: Json) -> None:
    _panel(board, "timeseries")["targets"][0]["expr"] = "sum by (user) (rate(http_requests_total[1m]))"


def _has_two_lines_of_one_name(board: Json) -> None:
    first, second = next(panel for panel in panels(board) if len(panel["targets"]) > 1)["targets"][:2]
    second["legendFormat"] = first["legendFormat"]


def _does_not_mark_deployments(board: Json) -> None:
    board["annotations"]["list"].pop()


BROKEN: list[tuple[Callable[[Json], None], Check]] = [
    (_is_old, grafana_checks.is_one_of_grafana_11),
    (_is_an_export, grafana_checks.asks_the_datasource_by_its_fixed_uid),
    (_lies_over_another, grafana_checks.has_a_place_for_every_panel),
    (_has_a_number_twice, grafana_checks.names_every_panel_once),
    (_does_not_say_what_is_normal, grafana_checks.describes_every_panel),
    (_has_a_unit_that_grafana_does_not_know, grafana_checks.has_a_unit_for_every_value),
    (_has_nothing_to_say_without_data, grafana_checks.has_a_unit_for_every_value),
    (_leads_to_a_runbook_that_is_not_there, grafana_checks.leads_on_from_every_panel),
    (_leads_nowhere, grafana_checks.leads_on_from_every_panel),
    (_has_a_limit_without_its_line, grafana_checks.says_in_words_what_a_colour_says),
    (_has_a_limit_without_its_verdict, grafana_checks.says_in_words_what_a_colour_says),
    (_has_a_state_without_a_word, grafana_checks.says_in_words_what_a_colour_says),
    (_divides_counters_as_they_stand, grafana_checks.divides_no_lifetime_counters),
    (_uses_what_is_not_defined, grafana_checks.defines_the_variables_that_it_uses),
    (_offers_what_changes_nothing, grafana_checks.defines_the_variables_that_it_uses),
    (_tells_people_apart, grafana_checks.tells_series_apart_by_harmless_labels),
    (_has_two_lines_of_one_name, grafana_checks.names_every_line),
    (_does_not_mark_deployments, grafana_checks.marks_alerts_and_deployments),
]


@pytest.mark.parametrize(("break_it", "check"), BROKEN, ids=lambda each: each.__name__.strip("_"))
def test_a_board_that_is_broken_is_found(break_it: Callable[[Json], None], check: Check) -> None:
    board = read("database")
    assert set(check(board)) == set()

    break_it(board)

    assert list(check(board)) != []


def test_every_check_is_tried_on_a_broken_board() -> None:
    assert {check for _, check in BROKEN} == set(CHECKS)


def test_the_files_are_what_the_boards_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_file_that_is_old_missing_or_nobodys_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "dashboards"
    shutil.copytree(FOLDER, folder)
    (folder / "api.json").write_text((folder / "api.json").read_text().replace("In flight", "Under way"))
    (folder / "slo.json").unlink()
    (folder / "mine.json").write_text("{}")

    assert main(["--check", "--folder", str(folder)]) == 1

    told = capsys.readouterr().err
    assert f"{folder / 'api.json'}: is not what the boards make" in told
    assert f"{folder / 'slo.json'}: is missing" in told
    assert f"{folder / 'mine.json'}: belongs to no board" in told
    assert "python -m ops.grafana.boards" in told
    assert "incident.json" not in told

    (folder / "mine.json").unlink()
    assert main(["--folder", str(folder)]) == 0
    assert main(["--check", "--folder", str(folder)]) == 0
