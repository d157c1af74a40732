"""Asking a project what it is, in a child process that runs its env.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from migration_gate.description import Description
from migration_gate.errors import MigrationGateError
from migration_gate.withheld import withheld

# Alembic, SQLAlchemy and the models are imported in about a second; a busy machine may take ten times as long.
PATIENCE_S = 60.0

# What this process can import the child can too, but after its own: a folder named alembic in the working directory,
# which `python -m` would put first, must not stand in for the library.
_CHILD = (
    "import os, sys; sys.path += [p for p in sys.argv.pop(1).split(os.pathsep) if p not in sys.path];"
    " from migration_gate.describe import main; sys.exit(main())"
)


class ProjectNotDescribed(MigrationGateError):
    """The child that runs env.py did not tell what the project is."""


async def description_of(config: Path, *, patience_s: float = PATIENCE_S) -> Description:
    """What the project of an alembic.ini, or of a pyproject.toml, is.

    The database's address comes through a pipe, and shows nowhere.

    Raises
    ------
    ProjectNotDescribed: there is no such file, env.py failed, or did not end within `patience_s` seconds.
    """
    again = f"look at: python -m migration_gate describe --config {config}"
    try:
        child = subprocess.Popen(  # noqa: ASYNC220  uvloop has no child processes outside the main thread
            _command(config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProjectNotDescribed(f"no process could be started to run env.py: {error.strerror}") from error
    try:
        out, err = await asyncio.to_thread(_what_it_says, child, patience_s)
    except subprocess.TimeoutExpired as error:
        raise ProjectNotDescribed(f"env.py did not end within {patience_s:g} s", solution=again) from error
    except asyncio.CancelledError:
        _end(child)  # and the thread reaps it
        raise
    if child.returncode != 0:
        raise ProjectNotDescribed(f"env.py could not be run: {_last_line(err, child.returncode)}", solution=again)
    try:
        # What a library prints at the interpreter's end comes after our line.
        return Description.from_json(out.decode().split("\n", 1)[0])
    except (ValueError, KeyError, TypeError) as error:
        raise ProjectNotDescribed(f"what env.py's process said is no description ({error})", solution=again) from error


def _command(config: Path) -> list[str]:
    path = os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)
    return [sys.executable, "-P", "-c", _CHILD, path, "--config", str(config), "--json", "--with-address"]


def _what_it_says(child: subprocess.Popen[bytes], patience_s: float) -> tuple[bytes, bytes]:
    try:
        return child.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        _end(child)
        child.communicate()
        raise


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that env.py started: a process that keeps the pipe open would keep us waiting."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(stderr: bytes, exit_code: int) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return withheld(lines[-1].strip())[:300] if lines else f"its process ended with {exit_code} and no word"
