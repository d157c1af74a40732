"""The limit is the sum of what is configured, so each part of the configuration moves it."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from tests.alerts import limits
from tests.alerts.fault import Fault, of_the_service
from tests.alerts.limits import Configuration, limit_s
from tests.alerts.rig import Rig

_CONFIGURATION = Configuration(
    prometheus={
        "global": {"scrape_interval": "5s", "scrape_timeout": "3s", "evaluation_interval": "5s"},
        "scrape_configs": [{"job_name": "taskmanager", "scrape_interval": "1s", "scrape_timeout": "1s"}],
    },
    alertmanager={
        "route": {
            "group_wait": "10s",
            "routes": [{"matchers": ['alertname=~"Down|Broken"'], "group_wait": "0s"}, {"matchers": ['severity="x"']}],
        }
    },
    rules={
        "a.yml": {
            "groups": [
                {
                    "name": "immediate",
                    "interval": "1s",
                    "rules": [{"alert": "Down", "expr": "up == 0"}, {"record": "a:b", "expr": "sum(rate(x[1m]))"}],
                },
                {"name": "slow", "rules": [{"alert": "Ratio", "expr": "a:b > 0.05", "for": "12s"}]},
            ]
        }
    },
)


def _nothing(rig: Rig) -> AbstractContextManager[float]:
    return nullcontext(0.0)


_DOWN = Fault("f", "Down", "it is down", of_the_service("critical", "down"), _nothing)
_RATIO = replace(_DOWN, alert="Ratio")


def test_an_immediate_alert_takes_a_scrape_and_an_evaluation() -> None:
    assert limit_s(_DOWN, _CONFIGURATION) == 2.0


def test_a_process_that_hangs_takes_the_timeout_beside() -> None:
    assert limit_s(replace(_DOWN, hung=True), _CONFIGURATION) == 3.0


def test_what_the_service_takes_to_notice_counts() -> None:
    assert limit_s(replace(_DOWN, seen_within_s=1.5), _CONFIGURATION) == 3.5


def test_a_wait_is_rounded_up_to_evaluations_and_a_recording_of_another_group_counts() -> None:
    # A scrape, the recording, the alert's evaluation, its wait of 12 s in three of them, and the group's wait.
    assert limit_s(_RATIO, _CONFIGURATION) == 1 + 1 + 5 + 15 + 10


def test_a_window_counts_where_it_must_fill() -> None:
    assert limit_s(replace(_RATIO, fills_window=True), _CONFIGURATION) == 60 + 32


@pytest.mark.parametrize(
    ("labels", "wait_s"),
    [({"alertname": "Down"}, 0.0), ({"alertname": "DownHere"}, 10.0), ({"alertname": "Other", "severity": "x"}, 10.0)],
)
def test_the_first_route_that_matches_says_how_long_alertmanager_waits(labels: dict[str, str], wait_s: float) -> None:
    assert limits.group_wait_s(_CONFIGURATION.alertmanager["route"], labels) == wait_s


def test_a_slower_scrape_makes_the_limit_longer() -> None:
    slower: Any = copy.deepcopy(_CONFIGURATION)
    slower.prometheus["scrape_configs"][0]["scrape_interval"] = "15s"

    assert limit_s(_DOWN, slower) == limit_s(_DOWN, _CONFIGURATION) + 14
