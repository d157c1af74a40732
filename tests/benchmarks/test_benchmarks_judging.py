"""What voids a figure, what is only missing, and what is counted."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from benchmarks import programs
from benchmarks.cells import CELLS
from benchmarks.contestants import THIS
from benchmarks.failures import Missing, WrongAnswer
from benchmarks.loopback import Answer
from benchmarks.overload import limit_for, saturating
from benchmarks.paging import deep_page
from benchmarks.throughput import require_stored, rotated
from benchmarks.wrk import judged
from tests.benchmarks import measured

GET_ONE, GET_50, POST = CELLS


def told_by_wrk(**changes: Any) -> dict[str, Any]:
    failed = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0} | changes.pop("failed", {})
    figures = {"sent": 1032, "requests": 1000, "duration_us": 2_000_000, "bytes": 400_000, "p50_us": 90, "p99_us": 200}
    return figures | changes | {"failed": failed}


def test_a_run_without_a_failure_counts() -> None:
    run = judged(told_by_wrk(), GET_ONE)

    assert (run.answers, run.seconds) == (1000, 2.0)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
def test_one_failed_request_voids_the_run(kind: str) -> None:
    with pytest.raises(WrongAnswer, match="of 1000 requests, 1 "):
        judged(told_by_wrk(failed={kind: 1}), GET_ONE)


def test_answers_too_short_to_be_tasks_void_the_run() -> None:
    with pytest.raises(WrongAnswer, match="400 bytes on average"):
        judged(told_by_wrk(), GET_50)


def test_a_run_without_an_answer_is_void() -> None:
    with pytest.raises(WrongAnswer, match="no request was answered"):
        judged(told_by_wrk(requests=0), POST)


def test_what_was_under_way_may_be_stored_a_moment_later() -> None:
    counts = iter((70, 99, 100))

    require_stored(lambda: next(counts), sent=100)


@pytest.mark.parametrize("stored", [99, 101])
def test_a_request_without_a_row_voids_the_figure_and_so_does_a_row_too_many(stored: int) -> None:
    with pytest.raises(WrongAnswer, match=f"100 requests sent, none refused, and {stored} tasks stored"):
        require_stored(lambda: stored, sent=100, within_s=0.1)


def test_everybody_begins_a_round_once() -> None:
    names = ("a", "b", "c")

    assert [rotated(names, number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert all(sorted(rotated(names, number)) == list(names) for number in range(4))


def test_a_void_contestant_has_no_figures_left() -> None:
    outcome = measured.outcome(THIS)
    assert outcome.rates("post")

    outcome.void = "it lied in the last round"
    assert (outcome.rates("post"), outcome.cpu_us("post"), outcome.rss()) == (None, None, None)


@pytest.mark.parametrize("name", ["wrk", "npm", "node"])
def test_a_missing_program_is_told_in_one_line_with_a_way_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(Missing) as missing:
        getattr(programs, name)()
    assert str(missing.value).startswith(f"{name} is missing: ")
    assert "apt-get install" in str(missing.value)
    assert "\n" not in str(missing.value)


def test_saturation_is_the_fewest_connections_near_the_highest_rate() -> None:
    assert saturating({1: 50.0, 2: 79.0, 4: 81.0, 8: 100.0, 16: 70.0}) == 4


@pytest.mark.parametrize(("p99_ms", "rate", "limit"), [(1.5, 7000.0, 3), (15.0, 7000.0, 35), (0.1, 100.0, 1)])
def test_the_limit_is_what_littles_law_gives(p99_ms: float, rate: float, limit: int) -> None:
    assert limit_for(p99_ms, rate) == limit


class Pages:
    """A list of `length` tasks behind Link headers; `stuck` pages lead to themselves."""

    def __init__(self, length: int, stuck: bool = False) -> None:
        self.length = length
        self.stuck = stuck

    def __call__(self, path: str) -> Answer:
        first = int(path.rpartition("cursor=")[2]) if "cursor=" in path else 0
        tasks = ",".join(f'{{"id":{n}}}' for n in range(first + 1, min(first + 10, self.length) + 1))
        after = first if self.stuck else first + 10
        link = f'Link: </tasks?sort=due_at&limit=10&cursor={after}>; rel="next"'
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json" + (f"\r\n{link}" if after < self.length else "")
        return Answer(200, head.encode(), f"[{tasks}]".encode())


def test_the_deep_page_is_reached_by_following_links() -> None:
    found = deep_page(Pages(100), "due_at", depth=90, step=10)

    assert found == "/tasks?sort=due_at&limit=50&cursor=90"


@pytest.mark.parametrize(
    ("pages", "reason"), [(Pages(100, stuck=True), "10 different tasks"), (Pages(50), "no `Link`")]
)
def test_a_way_that_does_not_lead_there_is_told(pages: Pages, reason: str) -> None:
    with pytest.raises(WrongAnswer, match=reason):
        deep_page(pages, "due_at", depth=90, step=10)
