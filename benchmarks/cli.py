"""`make bench`: what to measure, how often, and where the result goes."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from benchmarks import chart, report, result_file, table
from benchmarks.cold_start import measure_cold_starts
from benchmarks.contestants import TITLES
from benchmarks.failures import FAILURES, Missing
from benchmarks.machine import commit, describe_machine, versions
from benchmarks.observability import OFF, ON, WITHOUT_ONE, Rounds, measure_observability
from benchmarks.overload import measure_overload
from benchmarks.paging import measure_paging
from benchmarks.results import COLD_START, OBSERVABILITY, OVERLOAD, PAGING, SECTIONS, THROUGHPUT, Result
from benchmarks.throughput import Plan, Throughput
from stack.postgres import Cluster

RESULTS = Path(__file__).parent / "results"
PARTIAL = RESULTS / "partial"

WIDTH_OF_A_FILE = 120
BUSY = 0.5

_EXAMPLES = """\
examples:
  make bench                                             everything; about twenty minutes
  make bench ARGS="--quick"                              everything, shortly: does it run? no figures to quote
  make bench ARGS="--only throughput --rounds 1"         one section
  make bench ARGS="--contestants taskmanager,brief"      the throughput of two
  make bench ARGS="--only observability --parts"         what each part of it costs as well
  make bench ARGS="--rounds 5 --seconds 10 --output /tmp/bench"

sections:
  throughput     answers a second, CPU and memory of this service, five others and PostgreSQL alone
  paging         page 1 and the page after 900,000 rows, on every sort
  cold-start     process start to the first list of tasks, beside `alembic upgrade head && uvicorn main:app`
  overload       four times the saturating load
  observability  this service with all that observes it on, beside itself with all of it off

A full run writes benchmarks/results/; one that is narrowed by an option writes benchmarks/results/partial/.

exit status:
  0    everything that could be measured was; a target may still be unmet, the table tells
  1    a contestant answered wrongly and its figure is void, or the run failed
  130  stopped by Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 5)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    try:
        result = _run(options, given, console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except FAILURES as error:
        console.print(f"benchmarks: {error}", style="red", markup=False)
        return 1
    report.show(result, console)
    folder = _folder(options)
    console.print(f"written: {result_file.write(result, folder)}", markup=False)
    if result.outcomes:
        console.print(f"written: {chart.write(result, folder)}", markup=False)
    return 1 if result.void() else 0


def _run(options: argparse.Namespace, given: list[str], console: Console) -> Result:
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[{time.monotonic() - began:6.1f} s] {line}", markup=False, soft_wrap=True)

    machine = describe_machine()
    if machine.load_average > BUSY:
        say(f"this machine is busy (load average {machine.load_average}): no figure of this run is one to quote")
    with table.server() as cluster, tempfile.TemporaryDirectory(prefix="taskmanager-bench-") as scratch:
        result = Result(
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            command=shlex.join(["python", "-m", "benchmarks", *given]),
            commit=commit(),
            machine=machine,
            versions=versions(cluster),
            options={name: value for name, value in vars(options).items() if name != "output"},
            server_settings=table.told_settings(cluster),
        )
        result.asked = tuple(options.only or SECTIONS)
        sections = _sections(options, cluster, Path(scratch), say, result)
        for section in result.asked:
            say(f"section {section}")
            try:
                sections[section]()
            except Missing as missing:
                result.missing[section] = str(missing)
                say(f"section {section}: MISSING: {missing}")
            except FAILURES as error:
                # What the other sections have measured, or will, is not to be lost for it.
                result.failed[section] = str(error)
                say(f"section {section}: FAILED: {error}")
    result.duration_s = time.monotonic() - began
    return result


def _sections(
    options: argparse.Namespace, cluster: Cluster, scratch: Path, say: Callable[[str], None], result: Result
) -> dict[str, Callable[[], None]]:
    quick = options.quick
    warm_up = min(2, options.seconds)

    def throughput() -> None:
        plan = Plan(options.rounds, options.seconds, warm_up, tuple(options.contestants))
        result.outcomes = Throughput(cluster, plan, scratch, say).run()

    def paging() -> None:
        result.paging = measure_paging(cluster, 20 if quick else 300, scratch, say)

    def cold_start() -> None:
        result.cold_start = measure_cold_starts(cluster, 2 if quick else 9, scratch, say)

    def overload() -> None:
        result.overload = measure_overload(cluster, options.rounds, options.seconds, scratch, say)

    def observability() -> None:
        sides = (ON, OFF, *(WITHOUT_ONE if options.parts else ()))
        plan = Rounds(options.rounds, options.seconds, warm_up, sides)
        result.observability = measure_observability(cluster, plan, scratch, say)

    return {
        THROUGHPUT: throughput,
        PAGING: paging,
        COLD_START: cold_start,
        OVERLOAD: overload,
        OBSERVABILITY: observability,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="How fast this service is, beside others that keep the same contract on the same machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section alone; may be repeated")
    parser.add_argument("--rounds", type=_positive, default=None, help="rounds of each cell (default: 3)")
    parser.add_argument("--seconds", type=_positive, default=None, help="seconds of each cell (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one round of a second: to see that everything runs")
    parser.add_argument(
        "--contestants",
        type=_contestants,
        default=list(TITLES),
        metavar="NAME,NAME",
        help=f"who takes part in the throughput (default: {','.join(TITLES)})",
    )
    parser.add_argument(
        "--parts", action="store_true", help="observability: also without each part alone, to see what it costs"
    )
    parser.add_argument("--output", type=Path, default=None, help="folder for result.json and throughput.svg")
    return parser


def _folder(options: argparse.Namespace) -> Path:
    """A run that was narrowed must not replace the figures that the documentation quotes."""
    if options.output is not None:
        return Path(options.output)
    narrowed = options.only or options.quick or set(options.contestants) != set(TITLES)
    return PARTIAL if narrowed else RESULTS


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _contestants(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in TITLES]:
        raise argparse.ArgumentTypeError(f"no contestant {', '.join(unknown)}; there are {', '.join(TITLES)}")
    return names


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # An exception raised in a callback of the load generator's loop would be lost; asyncio takes SIGINT over there.
    signal.raise_signal(signal.SIGINT)
