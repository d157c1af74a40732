"""Results of runs that never were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from benchmarks.cells import CELLS
from benchmarks.cold_start import ColdStart
from benchmarks.contestants import BRIEF, FASTIFY_PG, LITESTAR, PGBENCH, THIS
from benchmarks.machine import Machine
from benchmarks.observability import OFF, ON, Observability
from benchmarks.overload import CLOSED, OPEN, UNLOADED, Overload
from benchmarks.paging import SORTS, Paging
from benchmarks.results import Result
from benchmarks.series import Series
from benchmarks.tally import Tally
from benchmarks.throughput import CellRun, Outcome

RATES = {
    THIS: (15_000.0, 8_000.0, 12_000.0),
    BRIEF: (1_000.0, 500.0, 500.0),
    LITESTAR: (5_000.0, 3_000.0, 6_000.0),
    FASTIFY_PG: (15_500.0, 3_500.0, 13_000.0),
    PGBENCH: (60_123.0, 31_000.0, 19_000.0),
}
MEGABYTES = {THIS: 60, BRIEF: 100, LITESTAR: 85, FASTIFY_PG: 110}


def outcome(name: str, rates: tuple[float, ...] | None = None, megabytes: int | None = None) -> Outcome:
    """A contestant of three rounds whose medians are these."""
    found = Outcome(name)
    for cell, rate in zip(CELLS, rates or RATES[name], strict=True):
        cpu_us = None if name == PGBENCH else 1e6 / rate
        found.cells[cell.name] = [CellRun(rate * factor, 1000, cpu_us) for factor in (1.1, 0.9, 1.0)]
    if name != PGBENCH:
        found.rss_bytes = [(megabytes or MEGABYTES[name]) * 1_000_000] * 3
        found.database_connections = [10] * 3
    return found


def outcomes() -> dict[str, Outcome]:
    return {name: outcome(name) for name in RATES}


def tally(answered_ms: float, refused_ms: float | None = None, **fields: int) -> Tally:
    """A hundred answers and, where asked for, a hundred refusals."""
    refused = [] if refused_ms is None else [refused_ms] * 100
    found = Tally(1.0, 100 + len(refused), [answered_ms] * 100, refused, other_statuses=Counter())
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def overload() -> Overload:
    """At 400 requests/s four times saturated, which the generator did send."""
    found = Overload({1: 40.0, 2: 50.0, 4: 51.0}, 2, 50.0, 3)
    found.tallies = {UNLOADED: [tally(1.0)], CLOSED: [tally(4.0, 2.0)], OPEN: [tally(6.0, 3.0)]}
    return found


def observability(kept: Mapping[str, float]) -> Observability:
    """Three rounds in which so much of 1,000 answers a second was kept, by cell; 50 µs each on, 45 off."""
    found = Observability(scrapes_ms=[4.0, 6.0])
    for cell, share in kept.items():
        found.runs[ON.name, cell] = [CellRun(1000 * share, 1000, 50.0)] * 3
        found.runs[OFF.name, cell] = [CellRun(1000, 1000, 45.0)] * 3
    return found


def paging() -> Paging:
    found = Paging()
    for sort in SORTS:
        found.first_ms[sort], found.deep_ms[sort] = Series((1.0, 1.1)), Series((1.2, 1.1))
    return found


def result() -> Result:
    """Everything was measured."""
    return Result(
        began="2026-11-21T07:00:00+00:00",
        command="python -m benchmarks",
        commit="0123456789abcdef",
        machine=Machine("A processor <x>", 2, 8_000_000_000, "Linux 6", "Debian", 0.1),
        versions={"postgresql": "18.6", "wrk": "4.1.0"},
        options={"rounds": 3, "seconds": 5},
        server_settings={"fsync": "on"},
        outcomes=outcomes(),
        paging=paging(),
        cold_start=ColdStart({THIS: Series((0.4,)), BRIEF: Series((1.0,))}),
        overload=overload(),
        observability=observability({"get_one": 0.95, "get_50": 0.97, "post": 0.9}),
    )
