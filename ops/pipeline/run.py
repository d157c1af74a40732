"""Run steps one after the other. A step that fails stops none of the others: a run tells all that is wrong."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ops.pipeline import environment, files
from ops.pipeline.command import Completed, execute
from ops.pipeline.needs import first_lacking
from ops.pipeline.outcome import Outcome, Verdict, not_run
from ops.pipeline.steps import STEPS, Command, Step


def chosen(names: Sequence[str]) -> list[Step]:
    """The steps of these names in the pipeline's order; without one, all that are run by default.

    Raises
    ------
    KeyError: a name that there is not.
    """
    by_name = {step.name: step for step in STEPS}
    for name in names:
        by_name[name]
    return [step for step in STEPS if (step.name in names if names else step.by_default)]


def run(steps: Sequence[Step], begins: Callable[[Step], None], echo: Callable[[str], None]) -> Iterator[Outcome]:
    """Each outcome as its step ends.

    Parameters
    ----------
    begins: is told of each step before it is run.
    echo: gets every line that its commands say.
    """
    for step in steps:
        begins(step)
        yield run_one(step, echo)


def run_one(step: Step, echo: Callable[[str], None]) -> Outcome:
    started = time.monotonic()
    if lacking := first_lacking(step.needs):
        return Outcome(step.name, not_run(lacking), time.monotonic() - started)
    with tempfile.TemporaryDirectory(prefix="pipeline-") as name:
        verdict = _judged(step, Path(name), started + step.minutes * 60, echo)
    return Outcome(step.name, verdict, time.monotonic() - started)


def _judged(step: Step, folder: Path, deadline: float, echo: Callable[[str], None]) -> Verdict:
    done: list[Completed] = []
    for command in step.commands(folder):
        echo(f"$ {_shown(command)}\n")
        seconds_left = max(1.0, deadline - time.monotonic())
        variables = environment.variables() | dict(step.environment)
        ended = execute(
            environment.resolved(command),
            environment=variables,
            cwd=files.ROOT,
            timeout_s=seconds_left,
            echo=None if step.judge_tells else echo,
        )
        # Messages name the command as it stands in the list, without this machine's folders.
        done.append(replace(ended, command=command))
        if done[-1].status != 0 and not step.all_commands:
            break
    return step.judge(folder)(done)


def _shown(command: Command) -> str:
    """The command, without the hundreds of files that one of them names."""
    text = " ".join(command)
    return text if len(text) <= 300 else f"{text[:299]}…"
