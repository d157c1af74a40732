"""How long `migration-gate status` takes beside `alembic current`, as whole processes, in a project of 300 revisions.

    python -m tests.migration_gate.adoption.speed --runs 15

The two take turns, so that whatever else the machine does meets both. Exits with 1 where the median of `status` is the
longer one.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from stack.postgres import temporary_cluster
from stack.postgres.roles import create_database
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.adoption.history import REVISIONS
from tests.migration_gate.scratch import succeed
from tests.processes import run

Command = Callable[[], CompletedProcess[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure `migration-gate status` beside `alembic current`.")
    parser.add_argument("--runs", type=int, default=15, help="of each command (default: %(default)s)")
    runs = parser.parse_args(arguments).runs
    with tempfile.TemporaryDirectory() as folder, temporary_cluster() as cluster:
        database = create_database(cluster, "fleet")
        fleet = Fleet(Path(folder) / "fleet", database.migrator_url)
        succeed(fleet.alembic("upgrade", "heads"))
        fleet.adopt()
        succeed(fleet.gate("ledger", "baseline", "--scratch-url", cluster.superuser_url("postgres")))
        current, status = _medians(
            runs,
            lambda: _whole_process(fleet, "alembic", "current"),
            lambda: _whole_process(fleet, "migration_gate", "status"),
        )
    ratio = status / current
    print(f"{REVISIONS} revisions, {runs} runs of each in turns, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"alembic current        median {current * 1000:7.0f} ms")
    print(f"migration-gate status  median {status * 1000:7.0f} ms   ratio {ratio:.2f}")
    return 0 if ratio <= 1 else 1


def _whole_process(fleet: Fleet, *command: str) -> CompletedProcess[str]:
    return run(sys.executable, "-m", *command, env=fleet.variables, cwd=fleet.folder)


def _medians(runs: int, *commands: Command) -> list[float]:
    """Seconds. One run of each comes before, to compile and to warm."""
    took: list[list[float]] = [[] for _ in commands]
    for command in commands:
        succeed(command())
    for _ in range(runs):
        for command, times in zip(commands, took, strict=True):
            began = time.perf_counter()
            done = command()
            times.append(time.perf_counter() - began)
            succeed(done)
    return [statistics.median(times) for times in took]


if __name__ == "__main__":
    sys.exit(main())
