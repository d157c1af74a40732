"""Prove that each alert tells of its fault, and that what is planned fires nothing: every round, to docs/proof/.

    python -m tests.alerts.prove                        all of it
    python -m tests.alerts.prove --alert ServiceDown    one alert; the rounds of the others stay
    python -m tests.alerts.prove --alert none           what must fire nothing
    python -m tests.alerts.prove --list                 the faults, and how long each may take

It runs a PostgreSQL, a service, a Prometheus, an Alertmanager and an incident receiver of its own for each round, and
touches nothing else. Times are worth something on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.monitoring import find_programs
from tests.alerts import events, limits, quiet_scenarios, report, sources, trial
from tests.alerts.fault import Fault
from tests.alerts.faults import ROUNDS_OF_THE_IMMEDIATE, alerts, of_alert, rounds
from tests.alerts.quiet_scenarios import NONE, SCENARIOS
from tests.alerts.rig import Laboratory, end_in_order_on_sigterm, laboratory
from tests.conftest import forget_settings

# A rig's start and its steady state, and what a repair and its end take beside what is configured.
_AROUND_S = 30.0
_SCENARIO_S = 150.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 1 where a round failed, 2 for a name that is not known."""
    options = _parser().parse_args(arguments)
    known = [*alerts(), NONE]
    if unknown := set(options.alert) - set(known):
        print(f"no fault is known for {', '.join(sorted(unknown))}; --list shows them", file=sys.stderr)
        return 2
    chosen = [name for name in known if name in (options.alert or known)]
    if options.list:
        _list(chosen)
        return 0
    forget_settings()
    end_in_order_on_sigterm()
    try:
        find_programs()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(chosen)} alerts, about {_minutes(chosen, options.rounds):.0f} minutes", flush=True)
    began = time.monotonic()
    failed = _prove(chosen, options)
    print(f"{failed} rounds failed, in {(time.monotonic() - began) / 60:.0f} minutes")
    if options.events == events.EVENTS:
        report.write()
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.alerts.prove", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alert", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS_OF_THE_IMMEDIATE,
        metavar="N",
        help="of each immediate alert (default: %(default)s); the others have one a fault",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the faults (default: %(default)s)")
    parser.add_argument("--events", type=Path, default=events.EVENTS, metavar="FILE", help="default: docs/proof/…")
    parser.add_argument("--list", action="store_true", help="only tell what would be done")
    return parser


def _prove(chosen: Sequence[str], options: argparse.Namespace) -> int:
    """How many rounds failed. What an alert's rounds found is written once all of them are done."""
    failed = 0
    with laboratory() as shared, tempfile.TemporaryDirectory(prefix="alerts-proof-") as scratch:
        around = events.circumstances(find_programs(), shared.cluster.binaries.version)
        for name in chosen:
            if name == NONE:
                found = list(_quiet_events(shared, Path(scratch), around))
            else:
                found = list(_alert_events(name, options, shared, Path(scratch), around))
            failed += sum(not each["passed"] for each in found)
            events.write(events.merged(events.read(options.events), found, [*alerts(), NONE]), options.events)
    return failed


def _alert_events(
    alert: str, options: argparse.Namespace, shared: Laboratory, scratch: Path, around: events.Circumstances
) -> Iterator[dict[str, Any]]:
    for number, fault in enumerate(rounds(alert, options.rounds), start=1):
        seed = options.seed * 1000 + number
        folder = scratch / f"{alert}-{number}"
        folder.mkdir()
        outcome = _round(fault, shared, folder, seed)
        print(_told(outcome, number), flush=True)
        yield events.event(outcome, number, seed, sources.digests(alert), around)


def _quiet_events(shared: Laboratory, scratch: Path, around: events.Circumstances) -> Iterator[dict[str, Any]]:
    for number, scenario in enumerate(SCENARIOS, start=1):
        folder = scratch / scenario.name
        folder.mkdir()
        outcome = quiet_scenarios.run(scenario, shared, folder)
        print(f"  {scenario.told}: {'; '.join(outcome.problems) or 'nothing fired'}", flush=True)
        yield events.quiet_event(outcome, number, around)


def _round(fault: Fault, shared: Laboratory, folder: Path, seed: int) -> trial.Outcome:
    try:
        return trial.run(fault, shared, folder, seed)
    except Exception as error:  # noqa: BLE001  the other rounds are still worth their time
        traceback.print_exc()
        return trial.Outcome(fault, began=time.time(), problems=[f"the round broke off: {type(error).__name__}"])


def _told(outcome: trial.Outcome, number: int) -> str:
    told = "not told" if outcome.told_s is None else f"told after {outcome.told_s:.2f} s"
    if outcome.resolved_s is not None:
        told += f", its end {outcome.resolved_s:.1f} s after the repair"
    lines = [f"  {outcome.fault.alert} {number}: {outcome.fault.told}: {told}"]
    return "\n".join([*lines, *(f"    FAILED: {problem}" for problem in outcome.problems)])


def _list(chosen: Sequence[str]) -> None:
    configuration = limits.shipped()
    for alert in chosen:
        print(alert)
        for fault in of_alert(alert):
            shortened = f", durations divided by {fault.setting.shortened}" if fault.setting.shortened > 1 else ""
            print(f"  {fault.name}: {fault.told}; within {limits.limit_s(fault, configuration):.1f} s{shortened}")
    if NONE in chosen:
        print(*(f"  {scenario.name}: {scenario.told}" for scenario in SCENARIOS), sep="\n")


def _minutes(chosen: Sequence[str], immediate: int) -> float:
    configuration = limits.shipped()
    plan = [fault for alert in chosen if alert != NONE for fault in rounds(alert, immediate)]
    sum_s = sum(_AROUND_S + 1.5 * limits.limit_s(fault, configuration) for fault in plan)
    return (sum_s + (len(SCENARIOS) * _SCENARIO_S if NONE in chosen else 0.0)) / 60


if __name__ == "__main__":
    sys.exit(main())
