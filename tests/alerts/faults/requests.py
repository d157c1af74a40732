"""Requests that fail by a bug, or are slow, and the budget that they use up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.rig import Rig
from tests.alerts.rig.traffic import request


@contextmanager
def misbehaves(rig: Rig, **what: object) -> Iterator[float]:
    """The faulty service does what rig/faulty_service.py says."""
    began = time.monotonic()
    rig.switch.write_text(json.dumps(what))
    try:
        yield began
    finally:
        rig.switch.unlink()


def one_in_five_fails(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, fail_every=5)


def one_in_thirty_fails(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, fail_every=30)


def one_in_two_hundred_and_fifty_fails(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, fail_every=250)


def all_are_slow(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, wait_s=2.5)


@contextmanager
def three_fail_at_night(rig: Rig) -> Iterator[float]:
    with misbehaves(rig, fail_every=1):
        for _ in range(3):
            status, _ = request(rig.replica.port, "GET", "/tasks?limit=1")
            assert status == 500, status
            last = time.monotonic()
            time.sleep(1)
        yield last


_CLIENTS = Setting(faulty=True, clients=4, pause_s=0.2)
_MANY = {"faulty": True, "clients": 6, "pause_s": 0.08}

FAULTS = (
    Fault(
        name="one_in_five_fails",
        alert="HighErrorRate",
        told="a bug fails one request in five",
        labels=of_the_service("critical", "high_error_rate"),
        inject=one_in_five_fails,
        setting=_CLIENTS,
        fills_window=True,
        within_s=150.0,
        resolved_within_s=200.0,
        allowed=frozenset({"ErrorBudgetBurnFast"}),
    ),
    Fault(
        name="all_are_slow",
        alert="HighResponseTime",
        told="every statement takes 2.5 s",
        labels=of_the_service("warning", "high_response_time"),
        inject=all_are_slow,
        setting=_CLIENTS,
        fills_window=True,
        within_s=150.0,
        resolved_within_s=200.0,
    ),
    Fault(
        name="three_fail_at_night",
        alert="ErrorsAtLowTraffic",
        told="the only three requests fail",
        labels=of_the_service("warning", "errors_at_low_traffic"),
        inject=three_fail_at_night,
        setting=Setting(faulty=True, clients=0, shortened=5),
        within_s=90.0,
        resolved_within_s=200.0,
    ),
    Fault(
        name="one_in_thirty_fails",
        alert="ErrorBudgetBurnFast",
        told="a bug fails one request in thirty",
        labels=of_the_service("critical", "error_budget_burn"),
        inject=one_in_thirty_fails,
        setting=Setting(**_MANY, shortened=60),  # type: ignore[arg-type]
        fills_window=True,
        within_s=150.0,
        resolved_within_s=200.0,
    ),
    Fault(
        name="one_in_two_hundred_and_fifty_fails",
        alert="ErrorBudgetBurnSlow",
        told="a bug fails one request in two hundred and fifty",
        labels=of_the_service("warning", "error_budget_burn"),
        inject=one_in_two_hundred_and_fifty_fails,
        setting=Setting(**_MANY, shortened=720),  # type: ignore[arg-type]
        fills_window=True,
        within_s=240.0,
        resolved_within_s=500.0,
    ),
)
