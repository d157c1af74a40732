"""One run of wrk, and whether it may be believed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import programs
from benchmarks.cells import NEW_TASK, Cell
from benchmarks.failures import BenchmarkError, WrongAnswer
from benchmarks.server import Server

SCRIPT = Path(__file__).with_name("load.lua")
THREADS = 1  # the server needs one of two cores, and one thread of wrk sends more than any of them answers

# Names of fields, punctuation, times: a task in compact JSON is longer than this in every contestant's spelling.
SHORTEST_TASK_BYTES = 230


@dataclass(frozen=True)
class WrkRun:
    """What wrk told: requests sent, answers, seconds, bytes read, and latencies in microseconds."""

    sent: int
    answers: int
    seconds: float
    bytes_read: int
    p50_us: int
    p99_us: int


def run_wrk(server: Server, cell: Cell, *, rows: int, connections: int, seconds: int) -> WrkRun:
    """Load the server.

    Parameters
    ----------
    rows: tasks have the ids 1 to `rows`.
    connections: each sends its next request when its last one is answered.
    seconds: for how long.

    Raises
    ------
    WrongAnswer: a request failed, or answers are too short to be tasks.
    """
    headers = [option for name, value in server.headers.items() for option in ("-H", f"{name}: {value}")]
    shape = ["-t", str(THREADS), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s"]
    body = json.dumps(NEW_TASK, ensure_ascii=False)
    command: list[str | Path] = [
        programs.wrk(),
        *shape,
        *headers,
        "-s",
        SCRIPT,
        server.url,
        "--",
        cell.name,
        str(rows),
        body,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not told:
        raise BenchmarkError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return judged(json.loads(told[-1]), cell)


def judged(told: dict[str, Any], cell: Cell) -> WrkRun:
    """What wrk told, where every request was answered as it should be. Raises WrongAnswer."""
    failed = {kind: count for kind, count in told["failed"].items() if count}
    if failed:
        counts = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in failed.items())
        raise WrongAnswer(f"{cell.title}: of {told['requests']} requests, {counts}")
    answers = told["requests"]
    if not answers:
        raise WrongAnswer(f"{cell.title}: no request was answered")
    run = WrkRun(told["sent"], answers, told["duration_us"] / 1e6, told["bytes"], told["p50_us"], told["p99_us"])
    shortest = SHORTEST_TASK_BYTES * cell.tasks
    if run.bytes_read / answers < shortest:
        mean = run.bytes_read / answers
        raise WrongAnswer(f"{cell.title}: an answer had {mean:.0f} bytes on average, tasks have {shortest} at least")
    return run


_KINDS = {
    "connect": "connections refused",
    "read": "connections broken while reading",
    "write": "connections broken while writing",
    "status": "answered with an error",
    "timeout": "answered too late or never",
}
