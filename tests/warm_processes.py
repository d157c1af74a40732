"""`python -m alembic …` and its like, each in a process of its own that need not import the libraries once more.

Those imports are three quarters of what a short command takes, and the tests run hundreds of commands. So a server
imports them once a run, and forks for each command. Only libraries are imported beforehand: the gate, env.py and the
models are imported by the command itself, from the path that it would have. Where a process must be the real thing
from its first instruction, `processes.run` and `processes.running` start one.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_LIBRARIES = (
    "alembic.autogenerate",
    "alembic.command",
    "alembic.config",
    "asyncpg",
    "dotenv",
    "fastapi",
    "logging.config",
    "psycopg",
    "pydantic",
    "sqlalchemy.dialects.postgresql.psycopg",
    "structlog",
    "tests.warm_processes",
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(_LIBRARIES))

LONGEST_S = 90


def run_module(module: str, *arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m module …` to its end; its output is kept, its exit status is not judged.

    Raises
    ------
    subprocess.TimeoutExpired: it did not end within `LONGEST_S` seconds, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = start_module(module, *arguments, env=env, cwd=cwd, out=out, err=err)
        process.join(LONGEST_S)
        ended = process.exitcode is not None
        if not ended:
            process.kill()
            process.join()
        command, said = (sys.executable, "-m", module, *arguments), (out.read_text(), err.read_text())
    if not ended:
        raise subprocess.TimeoutExpired(command, LONGEST_S, *said)
    return subprocess.CompletedProcess(command, process.exitcode, *said)


def start_module(
    module: str, *arguments: str, env: Mapping[str, str], cwd: Path, out: Path, err: Path
) -> ForkServerProcess:
    """Start `python -m module …`, which writes to the files `out` and `err`; they may be the same."""
    for path in (out, err):
        path.touch()
    process = _context.Process(
        target=_become, args=(module, arguments, dict(os.environ | env), str(cwd), str(out), str(err))
    )
    process.start()
    return process


def _become(module: str, arguments: Sequence[str], env: Mapping[str, str], cwd: str, out: str, err: str) -> None:
    """In the new process: be what `python -m module` would have been."""
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    own = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [cwd, *own, *(path for path in sys.path if path not in {"", cwd, *own})]
    sys.argv[:] = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
