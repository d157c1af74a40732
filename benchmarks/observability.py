"""What observability costs: this service with all of it on, beside the same service with all of it off.

Both are the service as it runs in production; the off side is started by `benchmarks.unobserved`. Each cell is
measured on both sides in turns, seconds apart, each time by a new process on a new copy of the table, and each round
gives a ratio of its own: what the machine does meanwhile meets both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import programs
from benchmarks.cells import CELLS, Cell
from benchmarks.contestants import Launch, this_service
from benchmarks.contract import Contract
from benchmarks.failures import WrongAnswer
from benchmarks.loopback import Connection
from benchmarks.observed import Evidence, require
from benchmarks.scraper import Scraper, scrape
from benchmarks.series import Series, series
from benchmarks.server import Server
from benchmarks.service import KEYS_FILE, as_headers, new_key
from benchmarks.signal_sink import SignalSink
from benchmarks.table import Database, copy_of, make_template
from benchmarks.tasks import TableTasks
from benchmarks.throughput import ROWS, CellRun, load, rotated
from benchmarks.unobserved import PARTS
from stack.ports import free_port
from stack.postgres import Cluster

TEMPLATE = "bench_observability"

TRACED_SHARE = 0.01
TRACES_PATH = "/v1/traces"

# What production switches on by variables, each sent to the sink that listens on this port.
SIGNALS: Mapping[str, Callable[[int], dict[str, str]]] = {
    "sentry": lambda port: {"SENTRY_DSN": f"http://key@127.0.0.1:{port}/1"},
    "traces": lambda port: {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(TRACED_SHARE),
    },
}
SCRAPES = "scrapes"
EVERYTHING = (*PARTS, *SIGNALS, SCRAPES)


@dataclass(frozen=True)
class Side:
    """The service without some of `EVERYTHING`."""

    name: str
    without: frozenset[str] = frozenset()


ON = Side("on")
OFF = Side("off", frozenset(EVERYTHING))
WITHOUT_ONE = tuple(Side(f"without {part}", frozenset({part})) for part in EVERYTHING)


@dataclass
class Observability:
    """The rounds of each side and cell, one after the other; how long scrapes took under load, in ms."""

    runs: dict[tuple[str, str], list[CellRun]] = field(default_factory=dict)
    scrapes_ms: list[float] = field(default_factory=list)

    def sides(self) -> list[str]:
        return list(dict.fromkeys(side for side, _ in self.runs))

    def parts(self) -> list[str]:
        """The sides that lack one part."""
        return [side for side in self.sides() if side not in (ON.name, OFF.name)]

    def rates(self, side: Side | str, cell: str) -> Series | None:
        return series([run.rate for run in self._runs(side, cell)])

    def cpu_us(self, side: Side | str, cell: str) -> Series | None:
        return series([run.cpu_us for run in self._runs(side, cell) if run.cpu_us is not None])

    def kept(self, cell: str) -> Series | None:
        """What is kept of the throughput with everything on: of each round, answers a second on, to those off."""
        pairs = zip(self._runs(ON, cell), self._runs(OFF, cell), strict=False)
        return series([on.rate / off.rate for on, off in pairs])

    def cost_us(self, side: Side | str, cell: str) -> float | None:
        """CPU time that a request costs more with everything on than on this side, in µs."""
        on, other = self.cpu_us(ON, cell), self.cpu_us(side, cell)
        return on.median - other.median if on and other else None

    def worst(self) -> tuple[Cell, float] | None:
        """The cell that keeps least, and how much."""
        kept = [(found.median, cell) for cell in CELLS if (found := self.kept(cell.name)) is not None]
        if len(kept) < len(CELLS):
            return None
        least, cell = min(kept, key=lambda each: each[0])
        return cell, least

    def _runs(self, side: Side | str, cell: str) -> Sequence[CellRun]:
        return self.runs.get((side.name if isinstance(side, Side) else side, cell), ())


@dataclass(frozen=True)
class Rounds:
    """How often and how long: rounds, seconds a cell, seconds of warm-up before each, and the sides."""

    rounds: int
    seconds: int
    warm_up: int
    sides: tuple[Side, ...] = (ON, OFF)


def measure_observability(cluster: Cluster, plan: Rounds, folder: Path, say: Callable[[str], None]) -> Observability:
    """Measure every side.

    Raises
    ------
    Missing: wrk is not here.
    WrongAnswer: an answer was wrong, or a part was on that had to be off, or off that had to be on.
    """
    programs.wrk()
    say(f"filling a table with {ROWS:,} tasks")
    make_template(cluster, TEMPLATE, ROWS)
    result = Observability()
    with SignalSink() as sink:
        for number in range(plan.rounds):
            for cell in CELLS:
                for side in rotated(plan.sides, number):
                    with copy_of(cluster, TEMPLATE, "bench_observability_copy") as database:
                        run = _measure(side, cell, plan, database, folder, sink, result)
                    result.runs.setdefault((side.name, cell.name), []).append(run)
                    told = f"{cell.title} {run.rate:,.0f}/s, {run.cpu_us:,.0f} µs of CPU each"
                    say(f"round {number + 1} of {plan.rounds}, {side.name}: {told}")
    return result


def _measure(
    side: Side, cell: Cell, plan: Rounds, database: Database, folder: Path, sink: SignalSink, result: Observability
) -> CellRun:
    port = free_port()
    launch = _launch(side, port, database, folder, sink)
    headers = as_headers(new_key(folder / KEYS_FILE, "metrics:read"))
    log = folder / "observability.log"
    sent = sink.received[TRACES_PATH]
    with Server(launch, port, log) as server, server.client() as client, database.admin() as admin:
        server.wait_until_ready()
        tasks = TableTasks(admin)
        Contract(client, tasks, ROWS).check()
        scraper = None if SCRAPES in side.without else Scraper(port, headers)
        with scraper or nullcontext():
            run = load(server, tasks, cell, seconds=plan.seconds, warm_up=plan.warm_up)
        if scraper is not None:
            result.scrapes_ms += scraper.taken_ms
        server.require_running()
        with Connection(port, headers) as connection:
            require(side.without, Evidence(scrape(connection), log, run.answers))
    require_traces(side, sink.received[TRACES_PATH] - sent)
    return run


def require_traces(side: Side, received: int) -> None:
    """Raises WrongAnswer where spans were sent that were not to be, or none although some were."""
    if (received > 0) is ("traces" in side.without):
        raise WrongAnswer(f"{side.name}: spans were sent {received} times")


def _launch(side: Side, port: int, database: Database, folder: Path, sink: SignalSink) -> Launch:
    # Not on the Python of the other sections, which has what the image has: traces are an extra beside that.
    launch = this_service(sys.executable, port, database, folder)
    environment = dict(launch.environment)
    if SCRAPES not in side.without:
        environment["TASKMANAGER_DISK_FOLDER"] = str(folder)
    for name, variables in SIGNALS.items():
        if name not in side.without:
            environment |= variables(sink.port)
    if left_out := side.without & set(PARTS):
        without = [option for part in sorted(left_out) for option in ("--without", part)]
        command = [launch.command[0], "-m", "benchmarks.unobserved", "--port", str(port), *without]
        return replace(launch, command=command, environment=environment)
    return replace(launch, environment=environment)
