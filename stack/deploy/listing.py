"""Deployments and their steps as tables."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.deploy.record import Record, success_share

SHOWN = 20
WIDTH_WITHOUT_TERMINAL = 160
COLOURS = {
    "succeeded": "green",
    "done": "green",
    "rolled_back": "yellow",
    "refused": "yellow",
    "skipped": "yellow",
    "failed": "red",
}


def step_table(steps: Sequence[dict[str, object]]) -> Table:
    """One row a step; `seconds` is None for one that runs."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("STEP", "SLOT", "SECONDS", "OUTCOME"):
        table.add_column(name, no_wrap=True, justify="right" if name == "SECONDS" else "left")
    table.add_column("", overflow="fold")
    for step in steps:
        seconds = step["seconds"]
        outcome = f"{step['outcome']}"
        table.add_row(
            f"{step['step']}",
            f"{step['slot']}",
            f"{seconds:.1f}" if isinstance(seconds, float | int) else "",
            Text(outcome, style=COLOURS.get(outcome, "")),
            Text(f"{step['note']}"),
        )
    return table


def print_records(records: Sequence[Record]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("ID", "BEGAN (UTC)", "VERB", "RELEASE", "BEFORE", "RESULT", "SECONDS"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("ID", "SECONDS") else "left")
    table.add_column("REASON", overflow="fold")
    for record in records[-SHOWN:]:
        table.add_row(
            f"{record.id}",
            record.began.replace("T", " ").removesuffix("Z"),
            record.verb,
            record.release[:12] or record.reference[:12],
            record.previous[:12] or "-",
            Text(record.result.value, style=COLOURS.get(record.result.value, "")),
            f"{record.seconds:.1f}",
            Text(record.reason),
        )
    console = _console()
    if not records:
        console.print("no deployment yet: stack deploy RELEASE")
        return
    console.print(table)
    succeeded, counted = success_share(list(records))
    share = f"{100 * succeeded / counted:.0f} %" if counted else "-"
    console.print(
        f"\nsuccess over the last {counted} deployments: {share} ({succeeded} of {counted}; refusals touch nothing)"
    )


def print_steps(record: Record) -> None:
    console = _console()
    console.print(
        f"deployment {record.id}: {record.verb} {record.release[:12]}, {record.result.value}, {record.seconds} s"
    )
    if record.reason:
        console.print(Text(record.reason))
    console.print(step_table(record.steps))
    for line in record.evidence:
        console.print(Text(f"  | {line}"))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
