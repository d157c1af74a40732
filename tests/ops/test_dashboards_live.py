"""Prometheus itself answers what the dashboards ask of a service that is well, broken, and mended."""

from __future__ import annotations

import re

import pytest

from tests.ops.grafana_json import NAMES, Target, annotations, filled_in, read, targets
from tests.ops.story import Story, ask, filled_by, numbers
from tests.prometheus_api import PrometheusApi

# Playing the story counts as the first test's time.
pytestmark = pytest.mark.timeout(480)

HISTORY = ("incident", "Incidents of this time and their resolution")


def _expressions(name: str) -> dict[str, str]:
    """All that a board asks, by where it does."""
    board = read(name)
    found = {f"{target.panel}, {target.letter}": target.expression for target in targets(board)} | annotations(board)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert asked, variable["definition"]
            found[variable["name"]] = f"group by ({asked[2]}) ({asked[1]})"
    return found


def _not_understood(prometheus: PrometheusApi, expressions: dict[str, str]) -> dict[str, str]:
    """What Prometheus says of those that it cannot parse."""
    answers = {where: prometheus.ask("format_query", query=filled_in(asked)) for where, asked in expressions.items()}
    return {where: answer["error"] for where, answer in answers.items() if answer["status"] != "success"}


@pytest.mark.parametrize("name", NAMES)
def test_prometheus_understands_every_expression(prometheus_without_rules: PrometheusApi, name: str) -> None:
    expressions = _expressions(name)

    assert len(expressions) > 10
    assert _not_understood(prometheus_without_rules, expressions) == {}


def test_an_expression_that_is_none_is_found(prometheus_without_rules: PrometheusApi) -> None:
    broken = {"API": 'sum by (handler) (rate(http_requests_total{service="$service"}[$__rate_interval])'}

    assert "unclosed left parenthesis" in _not_understood(prometheus_without_rules, broken)["API"]


def test_a_panel_that_shows_nothing_is_found_empty(prometheus_without_rules: PrometheusApi) -> None:
    for instant in (True, False):
        assert (
            ask(prometheus_without_rules, Target("Users", "A", "sum(taskmanager_users_total)", "users", instant)) == []
        )
        nothing = ask(prometheus_without_rules, Target("Share", "A", "vector(0) / 0", "share", instant))
        assert nothing
        assert not any(map(numbers, nothing))


def test_every_panel_has_something_to_show_of_a_service_that_is_well(story: Story) -> None:
    assert story.well.empty - filled_by() == set()


def test_what_is_said_to_be_empty_on_a_good_day_is(story: Story) -> None:
    assert filled_by() - story.well.empty == set()


def test_what_is_empty_on_a_good_day_shows_the_fault(story: Story) -> None:
    assert filled_by("fires")
    assert story.broken.empty & filled_by("fires") == set()
    assert {"DatabaseUnreachable", "DatabaseError"} <= story.broken.firing


def test_the_incident_s_acknowledgement_and_resolution_are_shown(story: Story) -> None:
    shown = filled_by("acknowledged") | filled_by("resolved")
    assert shown

    assert story.mended.empty & shown == set()
    median = story.mended.series["incident", "Time to resolve", "A"][0]
    assert 0 < numbers(median)[0] < 300


def test_the_history_tells_of_each_alert_whether_it_is_over(story: Story) -> None:
    def now(series: list[dict[str, object]]) -> dict[str, float]:
        return {each["metric"]["alertname"]: numbers(each)[0] for each in series}  # type: ignore[index]

    assert now(story.broken.series[*HISTORY, "D"])["DatabaseUnreachable"] == 2
    assert now(story.mended.series[*HISTORY, "D"])["DatabaseUnreachable"] == 0
    first, last = (now(story.mended.series[*HISTORY, letter])["DatabaseUnreachable"] for letter in "AB")
    assert last >= first > 1_700_000_000_000


def test_deployments_and_alerts_are_marked_on_the_graphs(story: Story) -> None:
    assert [series["metric"]["version"] for series in story.well.marks["Deployments"]] == ["0.1.0"]
    assert story.well.marks["Critical alerts"] == []
    alerts = {series["metric"]["alertname"] for series in story.broken.marks["Critical alerts"]}
    assert "DatabaseUnreachable" in alerts


def test_every_name_in_a_legend_is_a_label_of_its_series(story: Story) -> None:
    wrong = []
    for name in NAMES:
        for target in targets(read(name)):
            for label in re.findall(r"\{\{(\w+)\}\}", target.legend):
                series = story.broken.series[name, target.panel, target.letter]
                wrong += [(name, target.panel, label) for each in series if label not in each["metric"]]

    assert wrong == []
