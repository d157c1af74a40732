"""Run one command to its end, with all that it started, and keep what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# A shell's numbers for what could not be run, so that whoever reads them knows them.
NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True)
class Completed:
    """A command's end: its exit status, what it said on both channels, and its seconds."""

    command: tuple[str, ...]
    status: int
    output: str
    seconds: float

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def execute(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float,
    echo: Callable[[str], None] | None = None,
) -> Completed:
    """Run a command, hand each line to `echo` as it comes, and end all that it started when its time is over."""
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            env=os.environ | (environment or {}),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Completed(tuple(command), NOT_FOUND, f"{command[0]}: {error.strerror}", time.monotonic() - started)
    lines: list[str] = []
    overdue = threading.Event()
    timer = threading.Timer(timeout_s, _end, (process, overdue))
    timer.start()
    try:
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        with process.stdout:
            for line in process.stdout:
                lines.append(line)
                if echo is not None:
                    echo(line)
        status = process.wait()
    except BaseException:
        _end(process, overdue)
        raise
    finally:
        timer.cancel()
    if overdue.is_set():
        lines.append(f"ended after {timeout_s:.0f} s, its limit\n")
        status = TIMED_OUT
    return Completed(tuple(command), status, "".join(lines), time.monotonic() - started)


def _end(process: subprocess.Popen[str], overdue: threading.Event) -> None:
    """SIGTERM to the whole group, so that nothing is left behind, and SIGKILL to what is deaf to it."""
    overdue.set()
    for sent, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return
