"""A proof that cannot fail is none: without the rule, with another threshold, and without the fault, it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.alerts import trial
from tests.alerts.fault import Fault, Setting
from tests.alerts.faults import of_alert
from tests.alerts.rig import Laboratory, Rig
from tests.alerts.shortened import rules_of

# An alert that comes at all comes within this, on a machine that is not wholly taken.
_WITHIN_S = 12.0


def _without_and_with_another_threshold(files: dict[str, Any]) -> None:
    """There is no ServiceDown any more, and DatabaseUnreachable can never fire."""
    for group, rule in list(rules_of(files)):
        if rule.get("alert") == "ServiceDown":
            group["rules"].remove(rule)
        if rule.get("alert") == "DatabaseUnreachable":
            assert rule["expr"].rstrip().endswith("== 0")
            rule["expr"] = rule["expr"].rstrip().removesuffix("== 0") + "== -1"


@pytest.fixture(scope="module")
def blind_rig(shared: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    setting = Setting(replicas=2, proxied=True, clients=0)
    folder = tmp_path_factory.mktemp("blind")
    with Rig(shared, folder, setting, "", change=_without_and_with_another_threshold) as rig:
        yield rig


def _fault(alert: str, name: str, **more: Any) -> Fault:
    found = next(fault for fault in of_alert(alert) if fault.name == name)
    return replace(found, within_s=_WITHIN_S, **more)


@pytest.mark.parametrize(("alert", "name"), [("ServiceDown", "killed"), ("DatabaseUnreachable", "network_refuses")])
def test_an_alert_whose_rule_is_gone_or_asks_for_too_much_is_found_out(blind_rig: Rig, alert: str, name: str) -> None:
    outcome = trial.run_on(blind_rig, _fault(alert, name))

    assert outcome.problems == [f"{alert} was not told within {_WITHIN_S:.0f} s"]


def test_a_fault_that_is_not_made_is_found_out(blind_rig: Rig) -> None:
    @contextmanager
    def nothing(rig: Rig) -> Iterator[float]:
        yield time.monotonic()

    blind_rig.settle()
    outcome = trial.run_on(blind_rig, _fault("SchemaMismatch", "an_unknown_revision", inject=nothing))

    assert outcome.told_s is None
    assert not outcome.passed


def test_an_alert_that_the_fault_does_not_explain_is_found_out(blind_rig: Rig) -> None:
    blind_rig.settle()
    of_another_alert = _fault("SchemaMismatch", "an_unknown_revision").inject

    outcome = trial.run_on(blind_rig, _fault("SchemaBroken", "column_taken_away_at_night", inject=of_another_alert))

    assert "SchemaMismatch was told too" in outcome.problems
