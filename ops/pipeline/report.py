"""What people see of checks and steps: a line each as it ends, a table, and a last sentence that says it all."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.pipeline.outcome import Outcome, Result
from ops.pipeline.steps import Step

_STYLES = {Result.PASSED: "green", Result.FAILED: "bold red", Result.NOT_RUN: "yellow"}


def console(*, stderr: bool = False) -> Console:
    """Colours where somebody looks; paths and numbers are left as they are."""
    return Console(highlight=False, soft_wrap=True, stderr=stderr)


def begin(out: Console, step: Step) -> None:
    out.print(f"\n== {step.name}: {step.about}", style="bold", markup=False)


def echo(out: Console, line: str) -> None:
    out.print(line.rstrip("\n"), markup=False)


def tell(out: Console, outcome: Outcome) -> None:
    """One line, and of what failed all that it said."""
    verdict = outcome.verdict
    out.print(f"{verdict.result:8}", style=_STYLES[verdict.result], end="")
    out.print(f" {outcome.name:20} {outcome.seconds:6.1f} s  {verdict.why}".rstrip(), markup=False)
    if verdict.result is Result.FAILED:
        for line in outcome.output.rstrip().splitlines():
            out.print(f"    {line}", markup=False)


def table(outcomes: Sequence[Outcome]) -> Table:
    drawn = Table("step", "result", "seconds", "why")
    for outcome in outcomes:
        result = outcome.verdict.result
        drawn.add_row(
            outcome.name, f"[{_STYLES[result]}]{result}[/]", f"{outcome.seconds:.1f}", escape(outcome.verdict.why)
        )
    return drawn


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same table, as a workflow's summary page shows it."""
    rows = [
        f"| {outcome.name} | {outcome.verdict.result} | {outcome.seconds:.1f} | {_cell(outcome.verdict.why)} |"
        for outcome in outcomes
    ]
    return "\n".join(["| step | result | seconds | why |", "|---|---|---|---|", *rows, ""])


def summarize(outcomes: Sequence[Outcome]) -> None:
    """Write the table where a workflow shows it, if this is one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as summary:
            summary.write(markdown(outcomes) + "\n")


def as_json(outcomes: Sequence[Outcome]) -> str:
    """A list of name, result, why and seconds."""
    told = [
        {
            "name": outcome.name,
            "result": outcome.verdict.result,
            "why": outcome.verdict.why,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in outcomes
    ]
    return json.dumps(told, indent=2)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def conclude(out: Console, name: str, outcomes: Sequence[Outcome], seconds: float, *, require_all: bool) -> None:
    """The last line. It is green where all passed, and nowhere else."""
    counts = Counter(outcome.verdict.result for outcome in outcomes)
    told = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    if counts[Result.FAILED]:
        style, word = "bold red", "failed"
    elif counts[Result.NOT_RUN]:
        style, word = ("bold red", "failed, since REQUIRE_ALL=1") if require_all else ("yellow", "not a pass")
    else:
        style, word = "green", "all passed"
    out.print(f"{name}: {word} ({told}, {seconds:.1f} s)", style=style, markup=False)
