"""Windows are shortened by rule, and only those of the alert under proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts import shortened
from tests.alerts.rig.rig import RULES
from tests.processes import ROOT

_FILES = {
    "a.yml": {
        "groups": [
            {
                "name": "slow",
                "interval": "30s",
                "rules": [
                    {"record": "a:ratio", "expr": "rate(errors[1h]) / rate(all[1h] offset 10m)"},
                    {"record": "a:ratio_other", "expr": "rate(errors[1h])"},
                    {"alert": "Burn", "expr": "a:ratio > 14.4 * 0.001 and rate(x[5m]) > 60", "for": "2m"},
                ],
            },
            {"name": "quick", "interval": "1s", "rules": [{"alert": "Other", "expr": "rate(errors[1h]) > 0"}]},
        ]
    }
}


def _rules(files: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule.get("alert") or rule["record"]: rule for _, rule in shortened.rules_of(files)}


def test_durations_of_the_alert_and_of_what_it_reads_are_divided_and_thresholds_stay() -> None:
    files = shortened.shorten(_FILES, "Burn", 60)
    rules = _rules(files)

    assert rules["a:ratio"]["expr"] == "rate(errors[60000ms]) / rate(all[60000ms] offset 10000ms)"
    assert rules["Burn"] == {
        "alert": "Burn",
        "expr": "a:ratio > 14.4 * 0.001 and rate(x[5000ms]) > 60",
        "for": "2000ms",
    }
    assert files["a.yml"]["groups"][0]["interval"] == "1000ms"


def test_what_the_alert_does_not_read_stays_as_it_is() -> None:
    rules, before = _rules(shortened.shorten(_FILES, "Burn", 60)), _rules(_FILES)

    assert rules["a:ratio_other"] == before["a:ratio_other"]
    assert rules["Other"] == before["Other"]


def test_a_window_never_holds_fewer_than_four_scrapes() -> None:
    rules = _rules(shortened.shorten(_FILES, "Burn", 3600))

    assert shortened.windows_s(rules["a:ratio"]["expr"]) == [4.0, 4.0]
    assert shortened.windows_s(rules["Burn"]["expr"]) == [4.0]


def test_nothing_is_changed_where_nothing_is_to_be_shortened() -> None:
    shipped = shortened.rule_files(ROOT / RULES)

    assert shortened.shorten(shipped, "Watchdog", 1) == shipped


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("1m", 60.0), ("1h30m", 5400.0), ("3d", 259_200.0), ("0s", 0.0)]
)
def test_durations_are_read_as_prometheus_reads_them(text: str, expected: float) -> None:
    assert shortened.seconds(text) == expected


def test_what_is_written_is_read_again_as_the_same_rules(tmp_path: Path) -> None:
    shipped = shortened.rule_files(ROOT / RULES)

    shortened.write(shipped, tmp_path)

    assert {path.name: yaml.safe_load(path.read_text()) for path in tmp_path.glob("*.yml")} == shipped
