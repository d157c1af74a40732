"""Four times what the service can take: what is answered stays quick, the rest is refused at once, nothing is lost.

The load is GET 50 and not GET one: the generator shares two cores with what it loads, and costs a request less than
the service does. The saturating load is the smallest number of connections, of 1, 2, 4, …, that is answered at 80 %
of the highest rate of any; unloaded is one connection. How many requests may be in work at once is the operator's to
say, who knows how long an answer may take: `limit_for`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.contestants import SERVERS, THIS, Launch
from benchmarks.load_client import closed_loop, open_loop
from benchmarks.loopback import get_request
from benchmarks.series import Series, percentile, series
from benchmarks.server import Server
from benchmarks.table import copy_of, make_template
from benchmarks.tally import Tally
from benchmarks.throughput import ROWS
from stack.ports import free_port
from stack.postgres import Cluster

TEMPLATE = "bench_overload"
LIMIT = "TASKMANAGER_MAX_IN_FLIGHT"
PATH = "/tasks?limit=50"
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
# Beyond it more connections only wait; and closer to the highest rate, the noise of a run, a tenth, would decide.
SATURATED = 0.8
FACTOR = 4
# How much longer than unloaded an answer may take.
P99_AT_MOST = 5.0
# Under four times the load it was seen to be 2.4.
P99_TO_MEAN = 3.0
OPEN_CONNECTIONS = 512

# What an honest open loop keeps to; beyond it the figure would be the generator's and not the service's.
SENT_SHARE_AT_LEAST = 0.95
CPU_SHARE_AT_MOST = 0.9

UNLOADED = "unloaded"
CLOSED = "closed"
OPEN = "open"


@dataclass
class Overload:
    """The way to saturation, then the rounds of each load.

    Parameters
    ----------
    rates: answers a second by number of connections, medians of the rounds.
    connections: the saturating number.
    rate: answers a second at that number.
    max_in_flight: how many requests may be in work at once in what follows.
    tallies: of each round, by load.
    """

    rates: dict[int, float]
    connections: int
    rate: float
    max_in_flight: int
    tallies: dict[str, list[Tally]] = field(default_factory=dict)

    def answered_p99_ms(self, load: str) -> Series | None:
        return self._p99_ms([tally.answered_ms for tally in self.tallies.get(load, ())])

    def refused_p99_ms(self, load: str) -> Series | None:
        return self._p99_ms([tally.refused_ms for tally in self.tallies.get(load, ())])

    def _p99_ms(self, rounds: list[list[float]]) -> Series | None:
        return series([percentile(latencies, 0.99) for latencies in rounds if latencies])

    def dishonest(self) -> str | None:
        """Why the open loop's figures are the generator's own, None where they are not."""
        for tally in self.tallies.get(OPEN, ()):
            asked = FACTOR * self.rate
            if tally.sent_rate < SENT_SHARE_AT_LEAST * asked:
                return f"the generator sent {tally.sent_rate:,.0f} requests/s of {asked:,.0f}"
            if tally.generator_cpu_share > CPU_SHARE_AT_MOST:
                return f"the generator used {tally.generator_cpu_share:.0%} of its core"
        return None


def measure_overload(
    cluster: Cluster, rounds: int, seconds: float, folder: Path, say: Callable[[str], None]
) -> Overload:
    """Find what saturates this service, and load it with four times as much.

    Parameters
    ----------
    rounds: how often each step and each load is repeated, in turns.
    seconds: how long each load lasts; each step towards saturation lasts a third of it.
    """
    make_template(cluster, TEMPLATE, ROWS)
    with copy_of(cluster, TEMPLATE, "bench_overload_copy") as database:
        port = free_port()
        launch = SERVERS[THIS].launch(port, database, folder)
        request = get_request(PATH, launch.headers)
        with _served(launch, port, folder / "saturation.log"):
            found: dict[int, list[float]] = {step: [] for step in STEPS}
            unloaded_ms = []
            for step in STEPS * rounds:
                tally = closed_loop(port, request, connections=step, seconds=seconds / 3)
                found[step].append(tally.rate)
                if step == STEPS[0]:
                    unloaded_ms.append(percentile(tally.answered_ms, 0.99))
                say(f"{step} connections: {found[step][-1]:,.0f} answers/s")
        rates = {step: statistics.median(measured) for step, measured in found.items()}
        connections = saturating(rates)
        limit = limit_for(P99_AT_MOST * statistics.median(unloaded_ms), rates[connections])
        result = Overload(rates, connections, rates[connections], limit)
        say(f"saturated by {connections} connections, {result.rate:,.0f} answers/s; {limit} in work at most")
        bounded = replace(launch, environment=launch.environment | {LIMIT: str(limit)})
        with _served(bounded, port, folder / "overload.log"):
            for number in range(rounds):
                for load, run in _loads(port, request, result, seconds).items():
                    tally = run()
                    result.tallies.setdefault(load, []).append(tally)
                    say(f"round {number + 1} of {rounds}, {load}: {_told(tally)}")
    return result


@contextmanager
def _served(launch: Launch, port: int, log: Path) -> Iterator[None]:
    """The service, warm; still there in the end."""
    with Server(launch, port, log) as server:
        server.wait_until_ready()
        closed_loop(port, get_request(PATH, launch.headers), connections=STEPS[3], seconds=1)
        yield
        server.require_running()


def saturating(rates: Mapping[int, float]) -> int:
    """The smallest number of connections that is answered nearly as fast as any."""
    enough = SATURATED * max(rates.values())
    return min(connections for connections, rate in rates.items() if rate >= enough)


def limit_for(p99_ms: float, rate: float) -> int:
    """How many requests may be in work at once if 99 of 100 are to be answered within so many milliseconds.

    By Little's law those in work are the mean time, times what is answered in a second at most (`rate`).
    """
    return max(1, int(rate * p99_ms / 1000 / P99_TO_MEAN))


def _loads(port: int, request: bytes, result: Overload, seconds: float) -> dict[str, Callable[[], Tally]]:
    many, rate = FACTOR * result.connections, FACTOR * result.rate
    return {
        UNLOADED: lambda: closed_loop(port, request, connections=1, seconds=seconds),
        CLOSED: lambda: closed_loop(port, request, connections=many, seconds=seconds),
        OPEN: lambda: open_loop(port, request, rate=rate, connections=OPEN_CONNECTIONS, seconds=seconds),
    }


def _told(tally: Tally) -> str:
    p99 = f"{percentile(tally.answered_ms, 0.99):.2f} ms" if tally.answered_ms else "none"
    return (
        f"{tally.sent_rate:,.0f} requests/s, {tally.rate:,.0f} answered, p99 {p99}, {len(tally.refused_ms):,} refused,"
        f" {tally.lost} lost, {tally.connections_broken} connections broken"
    )
