"""What the project has set itself, each as a bound on a figure of this run. Nothing here is a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cells import CELLS, GET_50, GET_ONE, POST
from benchmarks.cold_start import ColdStart
from benchmarks.contestants import BRIEF, FASTIFY_PG, LITESTAR, THIS, TITLES
from benchmarks.observability import Observability
from benchmarks.overload import CLOSED, OPEN, P99_AT_MOST, UNLOADED, Overload
from benchmarks.paging import SORTS, Paging
from benchmarks.series import ratio
from benchmarks.throughput import Outcome

# Times this service's answers a second, to theirs.
RATES_AT_LEAST: Mapping[str, Mapping[str, float]] = {
    BRIEF: {GET_ONE: 15, GET_50: 12, POST: 18},
    LITESTAR: {GET_ONE: 2, GET_50: 2, POST: 1.6},
    FASTIFY_PG: {GET_ONE: 0.9, GET_50: 1.5, POST: 0.8},
}
MEMORY_AT_MOST = 0.75
DEEP_PAGE_AT_MOST = 1.2
COLD_START_AT_MOST = 0.5
# A refusal is quick where nobody sees it: it is held back a little on purpose (taskmanager/server/refusals.py).
REFUSED_P99_AT_MOST_MS = 25.0
# Of its own answers a second with everything that observes it off.
KEPT_AT_LEAST = 0.85


@dataclass(frozen=True)
class Target:
    """A bound and what was measured, None if it was not. Their unit is a ratio ("x"), "ms", or a count ("")."""

    name: str
    bound: float
    measured: float | None
    at_least: bool = False
    unit: str = "x"
    why_not: str | None = None

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def verdict(self) -> str:
        return {True: "met", False: "not met", None: "not measured"}[self.met]

    @property
    def asked(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit and ' ' + self.unit}"


def throughput_targets(outcomes: Mapping[str, Outcome]) -> list[Target]:
    """Answers a second beside three others, and memory beside the brief's design."""
    targets = []
    for other, bounds in RATES_AT_LEAST.items():
        for cell in CELLS:
            measured = _rate_ratio(outcomes, other, cell.name)
            name = f"{cell.title}: answers/s to {TITLES[other]}"
            why_not = _why_not(outcomes, other)
            targets.append(Target(name, bounds[cell.name], measured, at_least=True, why_not=why_not))
    ours, theirs = outcomes.get(THIS), outcomes.get(BRIEF)
    memory = ratio(ours.rss(), theirs.rss()) if ours and theirs else None
    name = f"memory after the load, to {TITLES[BRIEF]}"
    return [*targets, Target(name, MEMORY_AT_MOST, memory, why_not=_why_not(outcomes, BRIEF))]


def paging_targets(paging: Paging) -> list[Target]:
    """The slower of both pages to the quicker one, on every sort."""
    return [
        Target(
            f"page after 900,000 rows, sort={sort}",
            DEEP_PAGE_AT_MOST,
            paging.factor(sort),
            why_not=paging.void.get(sort),
        )
        for sort in SORTS
    ]


def cold_start_targets(cold: ColdStart) -> list[Target]:
    """Process start to the first list of tasks."""
    measured = ratio(cold.seconds.get(THIS), cold.seconds.get(BRIEF))
    return [Target(f"cold start, to {TITLES[BRIEF]}", COLD_START_AT_MOST, measured, why_not=cold.void)]


def overload_targets(overload: Overload) -> list[Target]:
    """Latency of what was answered and of what was refused, and what was lost, at four times the saturating load."""
    unloaded = overload.answered_p99_ms(UNLOADED)
    targets = []
    for load, why_not in ((CLOSED, None), (OPEN, overload.dishonest())):
        answered, refused = overload.answered_p99_ms(load), overload.refused_p99_ms(load)
        if why_not is not None:
            answered = refused = None
        name = f"overload, {load} loop: p99 of answered requests, to the unloaded p99"
        why_not_answered = why_not or "nothing was answered"
        targets.append(Target(name, P99_AT_MOST, ratio(answered, unloaded), why_not=why_not_answered))
        name = f"overload, {load} loop: p99 of refused requests"
        refused_ms = refused.median if refused is not None else None
        targets.append(
            Target(name, REFUSED_P99_AT_MOST_MS, refused_ms, unit="ms", why_not=why_not or "nothing was refused")
        )
        tallies = overload.tallies.get(load)
        lost = bare = None
        if tallies:
            lost = sum(tally.lost + tally.connections_broken + tally.other_statuses.total() for tally in tallies)
            bare = sum(tally.refused_without_retry_after for tally in tallies)
        for what, measured in (("requests lost, broken or failed", lost), ("503 without Retry-After", bare)):
            targets.append(Target(f"overload, {load} loop: {what}", 0, measured, unit="", why_not="nothing was sent"))
    return targets


def observability_targets(observability: Observability) -> list[Target]:
    """What the service keeps of its throughput with all observability on, in the cell that keeps least."""
    worst = observability.worst()
    cell = f", worst cell: {worst[0].title}" if worst else ""
    name = f"answers/s with observability on, to off{cell}"
    return [Target(name, KEPT_AT_LEAST, worst and worst[1], at_least=True)]


def _rate_ratio(outcomes: Mapping[str, Outcome], other: str, cell: str) -> float | None:
    if THIS not in outcomes or other not in outcomes:
        return None
    return ratio(outcomes[THIS].rates(cell), outcomes[other].rates(cell))


def _why_not(outcomes: Mapping[str, Outcome], other: str) -> str:
    for name in (THIS, other):
        if name not in outcomes:
            return f"{TITLES[name]} did not take part"
        if outcomes[name].standing != "measured":
            return f"{TITLES[name]} is {outcomes[name].standing}"
    return ""
