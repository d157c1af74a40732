"""Requests a second, CPU time a request and memory: every contestant, in turns, on the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks import programs
from benchmarks.cells import CELLS, NEW_TASK, POST, Cell
from benchmarks.contestants import CONNECTIONS, PGBENCH, SERVERS, TITLES, Contestant
from benchmarks.contract import Contract
from benchmarks.failures import FAILURES, Missing, WrongAnswer
from benchmarks.pgbench import run_pgbench
from benchmarks.series import Series, series
from benchmarks.server import Server
from benchmarks.table import Database, copy_of, make_template
from benchmarks.tasks import TableTasks
from benchmarks.wrk import run_wrk
from stack.ports import free_port
from stack.postgres import Cluster
from stack.process import wait_until

ROWS = 100_000
TEMPLATE = "bench_template"

Say = Callable[[str], None]
Name = TypeVar("Name")


@dataclass(frozen=True)
class CellRun:
    """One cell in one round: answers a second; CPU µs an answer and latencies in µs, where there is a server."""

    rate: float
    answers: int
    cpu_us: float | None = None
    p50_us: int | None = None
    p99_us: int | None = None


@dataclass
class Outcome:
    """A contestant's figures, by cell; memory in bytes and connections to PostgreSQL, both after the load."""

    name: str
    cells: dict[str, list[CellRun]] = field(default_factory=dict)
    rss_bytes: list[int] = field(default_factory=list)
    database_connections: list[int] = field(default_factory=list)
    void: str | None = None
    missing: str | None = None

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def standing(self) -> str:
        return "missing" if self.missing else "void" if self.void else "measured"

    def rates(self, cell: str) -> Series | None:
        return self._series(run.rate for run in self.cells.get(cell, ()))

    def cpu_us(self, cell: str) -> Series | None:
        return self._series(run.cpu_us for run in self.cells.get(cell, ()) if run.cpu_us is not None)

    def rss(self) -> Series | None:
        return self._series(self.rss_bytes)

    def _series(self, values: Iterable[float]) -> Series | None:
        return None if self.void or self.missing else series(list(values))


@dataclass(frozen=True)
class Plan:
    """How long and how often: seconds a cell, seconds of warm-up before each, rounds, and who takes part."""

    rounds: int
    seconds: int
    warm_up: int
    names: tuple[str, ...]


class Throughput:
    """The section; `folder` takes logs and scripts."""

    def __init__(self, cluster: Cluster, plan: Plan, folder: Path, say: Say) -> None:
        self._cluster = cluster
        self._plan = plan
        self._folder = folder
        self._say = say
        self.outcomes = {name: Outcome(name) for name in plan.names}

    def run(self) -> dict[str, Outcome]:
        """Measure everybody; what is void or missing is told in its outcome."""
        programs.wrk()
        self._say(f"filling a table with {ROWS:,} tasks")
        make_template(self._cluster, TEMPLATE, ROWS)
        for number in range(self._plan.rounds):
            for name in rotated(self._plan.names, number):
                outcome = self.outcomes[name]
                if outcome.standing == "measured":
                    self._attempt(outcome, f"round {number + 1} of {self._plan.rounds}, {outcome.title}")
        return self.outcomes

    def _attempt(self, outcome: Outcome, where: str) -> None:
        try:
            with copy_of(self._cluster, TEMPLATE, f"bench_{outcome.name}") as database:
                if outcome.name == PGBENCH:
                    self._replay(outcome, database, where)
                else:
                    self._measure(SERVERS[outcome.name], outcome, database, where)
        except Missing as missing:
            outcome.missing = str(missing)
            self._say(f"{where}: MISSING: {missing}")
        except FAILURES as failure:
            outcome.void = str(failure)
            self._say(f"{where}: VOID: {failure}")

    def _measure(self, contestant: Contestant, outcome: Outcome, database: Database, where: str) -> None:
        port = free_port()
        launch = contestant.launch(port, database, self._folder)
        log = self._folder / f"{contestant.name}.log"
        with Server(launch, port, log) as server, server.client() as client, database.admin() as admin:
            server.wait_until_ready()
            tasks = TableTasks(admin)
            contract = Contract(client, tasks, ROWS)
            contract.check()
            for cell in CELLS:
                run = load(server, tasks, cell, seconds=self._plan.seconds, warm_up=self._plan.warm_up)
                outcome.cells.setdefault(cell.name, []).append(run)
                self._say(f"{where}: {cell.title} {run.rate:,.0f}/s, {run.cpu_us:,.0f} µs of CPU each")
            outcome.rss_bytes.append(server.rss_bytes())
            outcome.database_connections.append(tasks.other_connections())
            server.require_running()
            contract.check_again()

    def _replay(self, outcome: Outcome, database: Database, where: str) -> None:
        program = programs.pgbench(self._cluster.binaries.folder)
        with database.admin() as admin:
            tasks = TableTasks(admin)
            for cell in CELLS:
                replay = partial(run_pgbench, program, database, cell, rows=ROWS, folder=self._folder)
                warm_up, run = replay(seconds=self._plan.warm_up), replay(seconds=self._plan.seconds)
                if cell.name == POST:
                    require_stored(lambda: tasks.count_like(**NEW_TASK), warm_up.answers + run.answers)
                outcome.cells.setdefault(cell.name, []).append(CellRun(run.rate, run.answers))
                self._say(f"{where}: {cell.title} {run.rate:,.0f}/s")


def load(server: Server, tasks: TableTasks, cell: Cell, *, seconds: int, warm_up: int) -> CellRun:
    """Load a server that is ready with one kind of requests, after a warm-up that is not counted; both in seconds.

    Raises
    ------
    WrongAnswer: a request failed, an answer is no task, or a POST has left no row.
    """
    counted = tasks.count_like(**NEW_TASK)
    warmed = run_wrk(server, cell, rows=ROWS, connections=CONNECTIONS, seconds=warm_up)
    before = server.cpu_s()
    run = run_wrk(server, cell, rows=ROWS, connections=CONNECTIONS, seconds=seconds)
    cpu_us = (server.cpu_s() - before) / run.answers * 1e6
    if cell.name == POST:
        require_stored(lambda: tasks.count_like(**NEW_TASK) - counted, warmed.sent + run.sent)
    return CellRun(run.answers / run.seconds, run.answers, cpu_us, run.p50_us, run.p99_us)


def rotated(names: Sequence[Name], by: int) -> list[Name]:
    """Another one begins in each round: nobody is always the one after the disk has rested."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def require_stored(stored: Callable[[], int], sent: int, within_s: float = 5.0) -> None:
    """Each request that was sent has become a row: those that were answered, and those that wrk broke off at its end.

    Parameters
    ----------
    stored: counts the new rows with the content that was sent.
    sent: requests.
    within_s: how long what was under way may take.

    Raises
    ------
    WrongAnswer: a 201 without a row, or rows that nobody asked for.
    """
    if not wait_until(lambda: stored() == sent, within_s, pause=0.1):
        raise WrongAnswer(f"POST: {sent} requests sent, none refused, and {stored()} tasks stored")
