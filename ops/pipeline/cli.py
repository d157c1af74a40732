"""`python -m ops.pipeline check | ci | pins | push | deploy | watch`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ops.pipeline import checks, delivery_cli, pins, report, run
from ops.pipeline.outcome import everything_required, exit_status
from ops.pipeline.steps import STEPS

_STATUS = """exit status:
  0  all passed
  1  something failed; with REQUIRE_ALL=1 also where something was not run
  2  wrong usage
  3  nothing failed, and something was not run"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m ops.pipeline", description=(__doc__ or "").strip())
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _check_parser(verbs)
    _ci_parser(verbs)
    _pins_parser(verbs)
    delivery_cli.add_push(verbs)
    delivery_cli.add_deploy(verbs)
    delivery_cli.add_watch(verbs)
    return top


def _check_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = verbs.add_parser(
        "check",
        help="the quick checks, side by side; they need no network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"""examples:
  python -m ops.pipeline check                      all of them, as `make check` does
  python -m ops.pipeline check shell dockerfiles    two of them
  python -m ops.pipeline check --list               what there is

{_STATUS}""",
    )
    check.add_argument("names", nargs="*", metavar="CHECK", help="which; all without one")
    check.add_argument("--list", action="store_true", help="say what there is, and run none")
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    try:
        wanted = checks.chosen(options.names)
    except KeyError as unknown:
        there = ", ".join(check.name for check in checks.CHECKS)
        print(f"There is no check {unknown}. There are: {there}", file=sys.stderr)
        return 2
    if options.list:
        for check in wanted:
            print(f"{check.name:16} {check.about}")
        return 0
    out, started, outcomes = report.console(), time.monotonic(), []
    for outcome in checks.run(wanted):
        report.tell(out, outcome)
        outcomes.append(outcome)
    require_all = everything_required()
    report.conclude(out, "check", outcomes, time.monotonic() - started, require_all=require_all)
    return exit_status(outcomes, require_all=require_all)


def _ci_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ci = verbs.add_parser(
        "ci",
        help="the pipeline's steps, as the workflows run them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"""examples:
  python -m ops.pipeline ci                                build, test and scan, as `make ci` does
  python -m ops.pipeline ci scan-secrets scan-code         two steps
  python -m ops.pipeline ci --list                         what there is
  REQUIRE_ALL=1 python -m ops.pipeline ci scan-image       fail where it cannot look, as the workflows do

{_STATUS}""",
    )
    ci.add_argument("names", nargs="*", metavar="STEP", help="which; without one build, test and scan")
    ci.add_argument("--list", action="store_true", help="say what there is, and run none")
    ci.add_argument("--json", action="store_true", help="the outcomes as JSON on standard output, all else on stderr")
    ci.set_defaults(run=_ci)


def _ci(options: argparse.Namespace) -> int:
    try:
        wanted = run.chosen(options.names)
    except KeyError as unknown:
        print(f"There is no step {unknown}. There are: {', '.join(step.name for step in STEPS)}", file=sys.stderr)
        return 2
    if options.list:
        for step in wanted if options.names else STEPS:
            print(f"{step.name:20} {step.stage:14} {step.about}")
        return 0
    out = report.console(stderr=options.json)
    started, outcomes = time.monotonic(), []
    for outcome in run.run(wanted, partial(report.begin, out), partial(report.echo, out)):
        report.tell(out, outcome)
        outcomes.append(outcome)
    require_all = everything_required()
    out.print(report.table(outcomes))
    report.conclude(out, "ci", outcomes, time.monotonic() - started, require_all=require_all)
    report.summarize(outcomes)
    if options.json:
        print(report.as_json(outcomes))
    return exit_status(outcomes, require_all=require_all)


def _pins_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "pins",
        help="whether every action of these workflows is named by a commit",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""example:
  python -m ops.pipeline pins .github/workflows/*.yml

exit status:
  0  every one is    1  one is not, or has no release beside it    2  wrong usage""",
    )
    parser.add_argument("workflows", nargs="+", type=Path, metavar="FILE")
    parser.set_defaults(run=_pins)


def _pins(options: argparse.Namespace) -> int:
    complaints = pins.complaints_of(options.workflows)
    for complaint in complaints:
        print(complaint)
    return int(bool(complaints))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    status: int = options.run(options)
    return status
