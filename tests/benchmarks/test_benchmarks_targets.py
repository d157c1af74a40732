"""Targets are computed from what was measured, and never met by what was not."""

from __future__ import annotations

import pytest

from benchmarks.cold_start import ColdStart
from benchmarks.contestants import BRIEF, FASTIFY_PG, LITESTAR, THIS
from benchmarks.overload import CLOSED, OPEN
from benchmarks.series import Series
from benchmarks.targets import Target, cold_start_targets, overload_targets, paging_targets, throughput_targets
from tests.benchmarks import measured


def by_name(targets: list[Target]) -> dict[str, Target]:
    return {target.name: target for target in targets}


@pytest.mark.parametrize(("value", "met"), [(14.99, False), (15.0, True), (16.0, True), (None, None)])
def test_a_bound_from_below_is_met_at_the_bound(value: float | None, met: bool | None) -> None:
    assert Target("x", 15, value, at_least=True).met is met


@pytest.mark.parametrize(("value", "met"), [(0.751, False), (0.75, True), (0.0, True), (None, None)])
def test_a_bound_from_above_is_met_at_the_bound(value: float | None, met: bool | None) -> None:
    assert Target("x", 0.75, value).met is met


def test_ratios_are_of_this_service_to_the_other() -> None:
    targets = by_name(throughput_targets(measured.outcomes()))

    assert targets["GET one: answers/s to the brief's design"].measured == pytest.approx(15)
    assert targets["GET 50: answers/s to the brief's design"].measured == pytest.approx(16)
    assert targets["POST: answers/s to the brief's design"].measured == pytest.approx(24)
    assert targets["GET one: answers/s to Fastify, pg (Node)"].measured == pytest.approx(15_000 / 15_500)
    assert targets["memory after the load, to the brief's design"].measured == pytest.approx(0.6)


def test_the_bounds_are_those_of_the_project() -> None:
    bounds = {target.name: target.bound for target in throughput_targets(measured.outcomes())}

    assert list(bounds.values()) == [15, 12, 18, 2, 2, 1.6, 0.9, 1.5, 0.8, 0.75]


@pytest.mark.parametrize("slow", [BRIEF, LITESTAR, FASTIFY_PG])
def test_a_faster_rival_turns_its_targets(slow: str) -> None:
    outcomes = measured.outcomes()
    before = [target.verdict for target in throughput_targets(outcomes)]
    outcomes[slow] = measured.outcome(slow, (99_000.0, 99_000.0, 99_000.0))
    after = [target.verdict for target in throughput_targets(outcomes)]

    assert before.count("not met") == 0
    assert after.count("not met") == 3


@pytest.mark.parametrize("name", [THIS, BRIEF])
def test_what_is_void_meets_nothing(name: str) -> None:
    outcomes = measured.outcomes()
    outcomes[name].void = "it lied"

    target = by_name(throughput_targets(outcomes))["GET one: answers/s to the brief's design"]
    assert target.verdict == "not measured"
    assert target.why_not
    assert target.why_not.endswith("is void")


def test_who_did_not_take_part_is_named() -> None:
    outcomes = measured.outcomes()
    del outcomes[LITESTAR]

    target = by_name(throughput_targets(outcomes))["POST: answers/s to Litestar, asyncpg, msgspec"]
    assert (target.verdict, target.why_not) == ("not measured", "Litestar, asyncpg, msgspec did not take part")


def test_a_deep_page_may_be_neither_slower_nor_quicker() -> None:
    paging = measured.paging()
    paging.deep_ms["due_at"], paging.deep_ms["-priority"] = Series((1.4,)), Series((0.7,))
    paging.first_ms["due_at"] = paging.first_ms["-priority"] = Series((1.0,))
    del paging.first_ms["-updated_at"]
    paging.void["-updated_at"] = "no such sort"

    verdicts = {target.name.rpartition("=")[2]: target.verdict for target in paging_targets(paging)}
    assert verdicts == {
        "-created_at": "met",
        "due_at": "not met",
        "-priority": "not met",
        "-updated_at": "not measured",
    }


@pytest.mark.parametrize(("seconds", "verdict"), [(0.5, "met"), (0.51, "not met")])
def test_a_cold_start_is_held_against_the_briefs(seconds: float, verdict: str) -> None:
    (target,) = cold_start_targets(ColdStart({THIS: Series((seconds,)), BRIEF: Series((1.0,))}))

    assert target.verdict == verdict


def test_overload_is_judged_by_what_was_answered_refused_and_lost() -> None:
    verdicts = [target.verdict for target in overload_targets(measured.overload())]

    assert verdicts == ["met", "met", "met", "met", "not met", "met", "met", "met"]


def test_one_lost_request_is_one_too_many() -> None:
    overload = measured.overload()
    overload.tallies[CLOSED][0].sent += 1
    overload.tallies[OPEN][0].refused_without_retry_after = 2

    targets = by_name(overload_targets(overload))
    assert targets["overload, closed loop: requests lost, broken or failed"].verdict == "not met"
    assert targets["overload, open loop: 503 without Retry-After"].measured == 2


def test_a_generator_that_did_not_keep_up_proves_nothing() -> None:
    overload = measured.overload()
    overload.tallies[OPEN][0].seconds = 2.0

    target = by_name(overload_targets(overload))["overload, open loop: p99 of answered requests, to the unloaded p99"]
    assert (target.verdict, target.why_not) == ("not measured", "the generator sent 100 requests/s of 200")
