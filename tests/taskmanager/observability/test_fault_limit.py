"""A fault that every request meets is reported a few times and then now and again."""

from __future__ import annotations

from taskmanager.observability import fault_limit
from taskmanager.observability.fault_limit import ALL_AT_ONCE, AT_ONCE, EVERY_S, MOST_KNOWN, FaultLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_repeated_is_held_back_and_the_next_one_tells_how_often() -> None:
    clock = Clock()
    limit = FaultLimit(clock)

    answers = [limit.admit("a") for _ in range(1000)]
    assert answers == [0] * AT_ONCE + [None] * (1000 - AT_ONCE)
    clock.now += EVERY_S - 1
    assert limit.admit("a") is None
    clock.now += 1
    assert limit.admit("a") == 1000 - AT_ONCE + 1
    assert limit.admit("a") is None


def test_one_fault_holds_no_other_back() -> None:
    limit = FaultLimit(Clock())

    for _ in range(1000):
        limit.admit("a")

    assert limit.admit("b") == 0


def test_all_faults_together_are_bounded_too() -> None:
    clock = Clock()
    limit = FaultLimit(clock)

    answers = [limit.admit(number) for number in range(1000)]
    assert answers.count(0) == ALL_AT_ONCE
    clock.now += 5 * fault_limit.ALL_EVERY_S
    assert [limit.admit(number) for number in range(1000, 2000)].count(0) == 5


def test_faults_without_end_take_no_memory_without_end() -> None:
    limit = FaultLimit(Clock())

    for number in range(3 * MOST_KNOWN):
        limit.admit(number)

    assert len(limit._by_fault) == MOST_KNOWN
