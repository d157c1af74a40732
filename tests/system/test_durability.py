"""Every acknowledged write survives SIGKILL, of the service and of PostgreSQL; `tests.system.durability` has more."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.system.durability import KINDS, WRITERS, Trial, trial
from tests.system.durable_writers import Content, Ledger, faults_of

ROUNDS_OF_EACH_KIND = 3


@pytest.fixture(scope="module")
def running() -> Iterator[Trial]:
    """One cluster for both kinds: what a crash of one kind kept, the next one must keep too."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"to repeat it: python -m tests.system.durability --rounds {2 * ROUNDS_OF_EACH_KIND} --seed {seed}")
    with trial(seed) as running:
        yield running


@pytest.mark.parametrize("number", range(ROUNDS_OF_EACH_KIND))
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_survives_a_kill_and_nothing_is_there_twice(
    running: Trial, kind: str, number: int
) -> None:
    done = running.round(kind)

    assert done.faults == ()
    assert done.acknowledged > 0
    assert done.unanswered == WRITERS, "somebody did not meet the outage"


A, B = Content("a", "of a", 1), Content("b", "of b", 1)
PATCHED = A._replace(description="changed", version=2)


@pytest.mark.parametrize(
    ("ledger", "rows", "fault"),
    [
        (Ledger(tasks={1: A}), {}, "task 1: promised"),
        (Ledger(tasks={1: PATCHED}), {1: A}, "task 1: promised"),
        (Ledger(tasks={1: A}), {1: PATCHED}, "task 1: promised"),
        (Ledger(tasks={1: A}, pending={1: PATCHED}), {}, "task 1: promised"),
        (Ledger(deleted={1}), {1: A}, "deleted task 1 is back"),
        (Ledger(tasks={1: A}), {1: A, 2: A}, "2 tasks are called 'a'"),
        (Ledger(unanswered={"a"}), {1: A, 2: A}, "2 tasks are called 'a'"),
        (Ledger(), {1: A}, "nobody made task 1"),
        (Ledger(unanswered={"a"}), {1: A._replace(version=2)}, "nobody made task 1"),
    ],
)
def test_a_lost_or_doubled_write_is_found(ledger: Ledger, rows: dict[int, Content], fault: str) -> None:
    assert any(found.startswith(fault) for found in faults_of([ledger, Ledger(tasks={9: B})], rows | {9: B}))


@pytest.mark.parametrize(
    ("ledger", "rows"),
    [
        (Ledger(tasks={1: A}, pending={1: PATCHED}), {1: A}),
        (Ledger(tasks={1: A}, pending={1: PATCHED}), {1: PATCHED}),
        (Ledger(tasks={1: A}, pending={1: None}), {1: A}),
        (Ledger(tasks={1: A}, pending={1: None}), {}),
        (Ledger(unanswered={"a"}), {1: A}),
        (Ledger(unanswered={"a"}), {}),
        (Ledger(deleted={1}), {}),
    ],
)
def test_an_unanswered_write_may_be_made_or_not(ledger: Ledger, rows: dict[int, Content]) -> None:
    assert faults_of([ledger], rows) == []
    assert faults_of([ledger], rows) == [], "what was found once is the truth from then on"
