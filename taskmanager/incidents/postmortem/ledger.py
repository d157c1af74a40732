"""Asking the database which migrations ran, by the command that an operator would type."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskmanager.incidents.entries import read_time
from taskmanager.incidents.postmortem.timeline import Event, Origin, SourceFailed, Window

COMMAND = ("ledger", "show", "--newest", "100", "--json")
LONGEST_S = 30.0


def events(window: Window) -> list[Event]:
    """Runs that began or ended in the window.

    Raises
    ------
    SourceFailed: the command is not there, or could not read the ledger.
    """
    try:
        runs = json.loads(_shown())["runs"]
        found = [event for run in runs for event in _rows(run)]
    except (KeyError, TypeError, ValueError):
        raise SourceFailed("its answer is not that of `migration-gate ledger show --json`") from None
    return [event for event in found if window.holds(event.at)]


def _shown() -> str:
    beside = Path(sys.executable).with_name("migration-gate")
    command = str(beside) if beside.is_file() else shutil.which("migration-gate")
    if command is None:
        raise SourceFailed("the command migration-gate is not installed here")
    try:
        done = subprocess.run((command, *COMMAND), capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"the database did not answer within {LONGEST_S:.0f} s") from None
    except OSError as error:
        raise SourceFailed(f"the command migration-gate cannot be run: {error.strerror}") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SourceFailed(said[0][:200] if said else f"migration-gate ended with status {done.returncode}")
    return done.stdout


def _rows(run: dict[str, Any]) -> Iterator[Event]:
    values = {"id": str(run["id"]), "command": str(run["command"])}
    yield Event(read_time(run["started_at"]), Origin.LEDGER, "run_began", values, mends=True)
    if run.get("ended_at"):
        result = str(run["result"])
        error = str(run.get("error") or "")[:300]
        key = "run_failed" if error else "run_ended"
        yield Event(
            read_time(run["ended_at"]),
            Origin.LEDGER,
            key,
            values | {"result": result, "error": error},
            mends=result == "succeeded",
        )
