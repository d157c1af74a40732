"""The verdict as a scrape sees it."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from migration_gate.metrics import SchemaCollector
from migration_gate.states import State
from migration_gate.watch import Watcher
from tests.migration_gate.scripted import AWAY, BEHIND, CURRENT, watching
from tests.migration_gate.verdict_cases import CASES, Case, database


def _registry(watcher: Watcher) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SchemaCollector(watcher))
    return registry


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    value = registry.get_sample_value(f"migration_gate_{name}", labels)
    assert value is not None, f"{name}{labels} is not there"
    return value


def _states(registry: CollectorRegistry) -> dict[str, float]:
    return {state.value: _value(registry, "state", state=state.value) for state in State}


def test_the_first_scrape_holds_the_series_of_every_state() -> None:
    registry = _registry(watching(CURRENT))

    assert _states(registry) == {state.value: float(state is State.UNREACHABLE) for state in State}
    assert _value(registry, "servable") == 0
    assert _value(registry, "database_reachable") == 0
    assert math.isnan(_value(registry, "revisions_behind"))
    assert math.isnan(_value(registry, "check_age_seconds"))
    assert _value(registry, "code_info", heads="0abc") == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_one_state_is_1_and_all_others_are_0(case: Case) -> None:
    watcher = watching(case.observed)
    watcher._expected = case.expected
    await watcher.check()

    registry = _registry(watcher)

    assert _states(registry) == {state.value: float(state is case.state) for state in State}
    assert _value(registry, "servable") == watcher.verdict.servable
    assert _value(registry, "revisions_behind") == len(case.missing)


async def test_while_the_database_is_away_nothing_old_is_told_as_new() -> None:
    watcher = watching(CURRENT, AWAY)
    registry = _registry(watcher)
    await watcher.check()
    assert _value(registry, "revisions_behind") == 0
    assert _value(registry, "database_reachable") == 1

    await watcher.check()

    assert math.isnan(_value(registry, "revisions_behind"))
    assert _value(registry, "database_reachable") == 0
    assert _value(registry, "servable") == 1
    assert _states(registry)["current"] == 1
    assert _value(registry, "check_age_seconds") >= 0


async def test_each_scrape_reads_the_verdict_anew() -> None:
    watcher = watching(BEHIND, database("f00d"), CURRENT)
    registry = _registry(watcher)
    seen = []
    for _ in range(3):
        await watcher.check()
        seen.append(_value(registry, "revisions_behind"))

    assert seen == [1, 2, 0]


def test_the_exposition_names_and_explains_each_metric() -> None:
    text = generate_latest(_registry(watching(CURRENT))).decode()

    for name in ("state", "servable", "database_reachable", "revisions_behind", "check_age_seconds", "code_info"):
        assert f"# HELP migration_gate_{name} " in text
        assert f"# TYPE migration_gate_{name} gauge" in text
