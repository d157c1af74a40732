"""Race replicas for as many rounds as one likes, and count what must not happen.

    python -m tests.migration_gate.races --rounds 100 --replicas 16

It runs a PostgreSQL of its own and touches nothing else. The exit status is 1 where anything was violated.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stack.postgres import temporary_cluster
from stack.postgres.roles import create_database
from tests.databases import EMPTY_TEMPLATE, Server
from tests.migration_gate.races.bookshop import base_project
from tests.migration_gate.races.rounds import Round, race, violations
from tests.migration_gate.scratch import succeed

AT_BASE = "template_at_base"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.migration_gate.races", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no round after so long (default: 60)")
    parser.add_argument("--without-gate", action="store_true", help="plain Alembic, to see the checks fail")
    options = parser.parse_args(arguments)
    rounds: list[Round] = []
    violated: list[str] = []
    began = time.monotonic()
    with temporary_cluster() as cluster, tempfile.TemporaryDirectory(prefix="races-") as scratch:
        create_database(cluster, EMPTY_TEMPLATE)
        base = create_database(cluster, AT_BASE)
        succeed(base_project(Path(scratch) / "base", base.migrator_url).gate("upgrade"))
        server = Server(
            admin_url=cluster.superuser_url("postgres"),
            app_url=base.app_url.removesuffix(AT_BASE),
            migrator_url=base.migrator_url.removesuffix(AT_BASE),
        )
        while len(rounds) < options.rounds and time.monotonic() - began < options.minutes * 60:
            number = len(rounds) + 1
            with server.database(AT_BASE) as database:
                folder = Path(scratch) / f"round-{number}"
                done = race(folder, database, options.replicas, log=cluster.log, plain=options.without_gate)
            rounds.append(done)
            found = list(violations(done))
            violated += [f"round {number}: {each}" for each in found]
            _say(f"round {number} of {options.rounds}: {_told(done)}" + "".join(f"\n    {each}" for each in found))
    print(_table(rounds, options.replicas, time.monotonic() - began, violated))
    return 1 if violated else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _told(done: Round) -> str:
    return (
        f"{done.took_s:.1f} s, {done.waiters} waited, the migrator worked {done.worked_s:.2f} s,"
        f" longest wait {done.longest_wait_s:.2f} s ({done.longest_after_s:.2f} s after it had left)"
    )


def _table(rounds: Sequence[Round], replicas: int, took_s: float, violated: Sequence[str]) -> str:
    def line(name: str, values: Sequence[float], unit: str = " s") -> str:
        middle, most = statistics.median(values), max(values)
        return f"{name:<58}{min(values):>9.2f}{middle:>9.2f}{most:>9.2f}{unit}"

    told = [
        f"{len(rounds)} rounds of {replicas} replicas in {took_s / 60:.1f} min",
        f"{'':<58}{'least':>9}{'median':>9}{'most':>9}",
        line("from the start of the race to the last exit", [each.took_s for each in rounds]),
        line("the migrator held the lock", [each.worked_s for each in rounds]),
        line("longest wait for the lock in a round", [each.longest_wait_s for each in rounds]),
        line("  of which after the migrator had left it", [each.longest_after_s for each in rounds]),
        line("  minus what the migrator worked", [each.longest_wait_s - each.worked_s for each in rounds]),
        line("replicas that waited", [float(each.waiters) for each in rounds], ""),
        line("longest statement of a reader or the writer", [each.traffic_longest_s for each in rounds]),
        f"steps of readers and writer: {sum(each.traffic_steps for each in rounds)}",
        f"violations: {len(violated)}",
        *(f"  {each}" for each in violated),
    ]
    return "\n".join(told)


if __name__ == "__main__":
    sys.exit(main())
