"""The rules on a running Prometheus, of a service that is well: they ask for what is there, and are silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import plain_http
from tests.ops.promql import Selector, selectors
from tests.ops.rule_files import Rule, shipped_rules
from tests.ops.scene import Scene, scene

pytestmark = pytest.mark.timeout(240)

RULES = shipped_rules()
RECORDED = {rule.name for rule in RULES if not rule.is_alert}

# The first answer of 5xx brings it, and a service that is well gives none.
BORN_WITH_AN_ERROR = '{job="taskmanager", status=~"5.."}'

# The group slo comes round every half minute, the first time within that.
WITHIN_S = 75.0


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("rules")) as running:
        yield running


def _rules(running: Scene) -> list[dict[str, Any]]:
    """What Prometheus says of each rule, once all were evaluated."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        answer = plain_http.get(f"{running.prometheus.url}/api/v1/rules", timeout=10).json()
        found = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        if all(rule["health"] != "unknown" for rule in found):
            return found
        assert time.monotonic() < deadline, [rule["name"] for rule in found if rule["health"] == "unknown"]
        time.sleep(1)


def _asked(rule: Rule) -> set[str]:
    """The rule's selectors, each as it would be asked for by itself."""
    return {_alone(selector, rule.expr) for selector in selectors(rule.expr)}


def _alone(selector: Selector, text: str) -> str:
    matchers = ", ".join(matcher.span.of(text) for matcher in selector.matchers)
    return f"{selector.name.of(text)}{{{matchers}}}"


def _absent(running: Scene, asked: set[str]) -> set[str]:
    """Which of the selectors find nothing, once there was time: of one point there is no rate, and a group that comes
    round every half minute may find one point the first time."""
    deadline = time.monotonic() + WITHIN_S
    absent = asked
    while (absent := {each for each in absent if not running.prometheus.now(f"count({each})")}) and (
        time.monotonic() < deadline
    ):
        time.sleep(1)
    return absent


def test_prometheus_evaluates_every_rule(well: Scene) -> None:
    found = _rules(well)

    assert len(found) == len(RULES)
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []


def test_what_a_rule_asks_for_is_there_by_name_and_by_label(well: Scene) -> None:
    _rules(well)
    asked = {selector for rule in RULES for selector in _asked(rule) if not selector.endswith(BORN_WITH_AN_ERROR)}

    assert len(asked) > 30
    assert _absent(well, asked) == set()


def test_each_label_s_value_that_a_rule_names_is_one_that_the_service_tells(well: Scene) -> None:
    """A regular expression finds something as long as one of its alternatives is there."""
    named = {
        f'{selector.name.of(rule.expr)}{{{matcher.label}="{value}"}}'
        for rule in RULES
        for selector in selectors(rule.expr)
        for matcher in selector.matchers
        if matcher.label != "status"
        for value in matcher.value.of(rule.expr).strip('"').split("|")
    }

    assert len(named) > 30
    assert _absent(well, named) == set()


def test_a_metric_that_nobody_tells_is_found(well: Scene) -> None:
    assert not well.prometheus.now("count(taskmanager_db_errors_of_old_total)")


def test_a_service_that_is_well_raises_no_alert(well: Scene) -> None:
    _rules(well)
    assert _absent(well, {'ALERTS{alertname="Watchdog", alertstate="firing"}'}) == set()

    assert well.prometheus.names("firing") == {"Watchdog"}


def test_every_recorded_series_comes_to_be(well: Scene) -> None:
    deadline = time.monotonic() + WITHIN_S
    # The first round of the group slo may find one point, and of one point there is no rate.
    while (missing := RECORDED - _recorded(well)) and time.monotonic() < deadline:
        time.sleep(1)

    assert missing == set()


def _recorded(running: Scene) -> set[str]:
    return {series["metric"]["__name__"] for series in running.prometheus.now('{__name__=~".+:.+:.+"}')}
