"""The result for people, at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.cells import CELLS, Cell
from benchmarks.cold_start import ColdStart
from benchmarks.contestants import BRIEF, CONNECTIONS, POOL_SIZE, THIS, TITLES, WORKERS
from benchmarks.observability import OFF, ON, TRACED_SHARE, Observability
from benchmarks.overload import Overload
from benchmarks.paging import DEPTH, PAGE, ROWS, Paging
from benchmarks.results import Result
from benchmarks.series import ratio
from benchmarks.targets import Target
from benchmarks.throughput import Outcome

_COLOURS = {"met": "green", "not met": "red", "not measured": "yellow"}


def show(result: Result, console: Console) -> None:
    """Print the tables, then every target."""
    machine = result.machine
    console.print(
        f"\n{machine.processor}, {machine.cores} cores, {machine.kernel}, PostgreSQL {result.versions['postgresql']}"
        f" ({', '.join(f'{name} {value}' for name, value in result.server_settings.items())})"
    )
    console.print(
        f"Equal for all: {WORKERS} worker, a pool of {POOL_SIZE}, {CONNECTIONS} client connections;"
        " peers write no access log, this service logs every request."
    )
    if result.outcomes:
        for cell in CELLS:
            console.print(_cell(result.outcomes, cell))
        console.print(_memory(result.outcomes))
    if result.paging:
        console.print(_paging(result.paging))
    if result.cold_start:
        console.print(_cold_start(result.cold_start))
    if result.overload:
        console.print(_overload(result.overload))
    if result.observability:
        console.print(_observability(result.observability))
        if parts := result.observability.parts():
            console.print(_parts(result.observability, parts))
    console.print(_targets(result.targets()))
    for name, reason in result.absent().items():
        console.print(f"MISSING {name}: {reason}", style="yellow", markup=False)
    for name, reason in result.void().items():
        console.print(f"VOID {name}: {reason}", style="red", markup=False)


def _cell(outcomes: Mapping[str, Outcome], cell: Cell) -> Table:
    table = _table(
        f"{cell.title}: {cell.request}",
        *("answers/s", "lowest", "highest", "spread", "CPU µs", "x brief", "we are"),
    )
    brief, this = outcomes.get(BRIEF), outcomes.get(THIS)
    for outcome in outcomes.values():
        rates, cpu = outcome.rates(cell.name), outcome.cpu_us(cell.name)
        if rates is None:
            table.add_row(outcome.title, outcome.standing)
            continue
        table.add_row(
            outcome.title,
            f"{rates.median:,.0f}",
            f"{rates.lowest:,.0f}",
            f"{rates.highest:,.0f}",
            f"{rates.spread:.0%}",
            f"{cpu.median:,.0f}" if cpu else "",
            _times(ratio(rates, brief.rates(cell.name)) if brief else None),
            _times(ratio(this.rates(cell.name), rates) if this else None),
            style="bold" if outcome.name == THIS else None,
        )
    return table


def _memory(outcomes: Mapping[str, Outcome]) -> Table:
    table = _table("Memory after the load, and connections to PostgreSQL", "RSS MB", "connections")
    for outcome in outcomes.values():
        rss, connections = outcome.rss(), outcome.database_connections
        if rss and connections:
            table.add_row(outcome.title, f"{rss.median / 1e6:.0f}", str(max(connections)))
    return table


def _paging(paging: Paging) -> Table:
    title = f"Pages of {PAGE} of {ROWS:,} tasks: median latency in ms"
    table = _table(title, "first page", f"after {DEPTH:,} rows", "slower to quicker")
    for sort, first in paging.first_ms.items():
        table.add_row(sort, f"{first.median:.2f}", f"{paging.deep_ms[sort].median:.2f}", _times(paging.factor(sort)))
    return table


def _cold_start(cold: ColdStart) -> Table:
    table = _table("Cold start: process start to the first list of tasks, in ms", "median", "lowest", "highest")
    for name, seconds in cold.seconds.items():
        told = (seconds.median, seconds.lowest, seconds.highest)
        table.add_row(TITLES[name], *(f"{value * 1000:.0f}" for value in told))
    return table


def _overload(overload: Overload) -> Table:
    table = _table(
        f"Overload, GET 50: saturated by {overload.connections} connections at {overload.rate:,.0f} answers/s;"
        f" then {overload.max_in_flight} in work at most",
        *("sent/s", "answered/s", "p99 ms", "refused/s", "p99 ms", "lost", "generator"),
    )
    for load, tallies in overload.tallies.items():
        answered, refused = overload.answered_p99_ms(load), overload.refused_p99_ms(load)
        seconds = sum(tally.seconds for tally in tallies)
        table.add_row(
            load,
            f"{sum(tally.sent for tally in tallies) / seconds:,.0f}",
            f"{sum(len(tally.answered_ms) for tally in tallies) / seconds:,.0f}",
            f"{answered.median:.2f}" if answered else "",
            f"{sum(len(tally.refused_ms) for tally in tallies) / seconds:,.0f}",
            f"{refused.median:.2f}" if refused else "",
            str(sum(tally.lost for tally in tallies)),
            f"{max(tally.generator_cpu_share for tally in tallies):.0%}",
        )
    return table


def _observability(observability: Observability) -> Table:
    table = _table(
        f"Observability: everything on, {TRACED_SHARE:.0%} traced, beside the same service with everything off",
        *("on/s", "off/s", "on to off", "lowest", "highest", "CPU µs on", "off"),
    )
    for cell in CELLS:
        kept = observability.kept(cell.name)
        if kept is None:
            continue
        rates = [observability.rates(side, cell.name) for side in (ON, OFF)]
        cpu = [observability.cpu_us(side, cell.name) for side in (ON, OFF)]
        table.add_row(
            cell.title,
            *(f"{found.median:,.0f}" if found else "" for found in rates),
            *(_times(factor) for factor in (kept.median, kept.lowest, kept.highest)),
            *(f"{found.median:,.1f}" if found else "" for found in cpu),
        )
    return table


def _parts(observability: Observability, parts: Iterable[str]) -> Table:
    title = "What each part costs: µs of CPU a request that are saved without it"
    table = _table(title, *(cell.title for cell in CELLS))
    for side in (*parts, OFF.name):
        costs = [observability.cost_us(side, cell.name) for cell in CELLS]
        name = "without all of them" if side == OFF.name else side
        table.add_row(name, *("" if cost is None else f"{cost:+.1f}" for cost in costs))
    return table


def _targets(targets: list[Target]) -> Table:
    table = Table(title="Targets", title_justify="left")
    for name in ("target", "asked", "measured", "verdict"):
        table.add_column(name, justify="right" if name in ("asked", "measured") else "left")
    for target in targets:
        colour = _COLOURS[target.verdict]
        verdict = f"{target.verdict}: {target.why_not}" if target.met is None and target.why_not else target.verdict
        table.add_row(target.name, target.asked, _measured(target), f"[{colour}]{verdict}[/{colour}]")
    return table


def _measured(target: Target) -> str:
    # Three digits behind the point, or a figure just beyond its bound would look like the bound.
    if target.measured is None:
        return ""
    return f"{target.measured:.3f}" if target.unit else f"{target.measured:g}"


def _times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.2f} x"


def _table(title: str, *figures: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    return table
