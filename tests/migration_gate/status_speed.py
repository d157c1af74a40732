"""How long `migration-gate status` takes in each state, as a whole process.

    python -m tests.migration_gate.status_speed --runs 5

Exits with 1 where the median of a state is over two seconds. Where the server takes the connection and never says a
word, the answer comes when the gate's own five seconds are over.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from stack.postgres import temporary_cluster
from stack.postgres.cluster import Cluster
from stack.postgres.roles import create_database
from tests.databases import Database
from tests.docs.gate_scenes import SCENES
from tests.migration_gate.scratch import Project
from tests.processes import free_port, run

LONGEST_S = 2.0
SILENCE_S = 5.0


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure `migration-gate status` in each state.")
    parser.add_argument("--runs", type=int, default=5, help="in each state (default: %(default)s)")
    runs = parser.parse_args(arguments).runs
    table = Table("state", "median s", "longest s", "allowed s", title="migration-gate status, whole processes")
    over = False
    with tempfile.TemporaryDirectory() as folder, temporary_cluster() as cluster, silent_server() as silent:
        for name, project, variables in _states(Path(folder), cluster, silent):
            allowed_s = LONGEST_S + (SILENCE_S if name == "unreachable: silent" else 0.0)
            took = [_timed(project, variables, name.partition(":")[0]) for _ in range(runs)]
            median = statistics.median(took)
            over |= median > allowed_s
            table.add_row(name, f"{median:.2f}", f"{max(took):.2f}", f"{allowed_s:.0f}")
    console = Console(width=100)
    console.print(table)
    console.print(f"{runs} runs of each, load {os.getloadavg()[0]:.1f}")
    return 1 if over else 0


def _states(folder: Path, cluster: Cluster, silent: int) -> Iterator[tuple[str, Project, dict[str, str]]]:
    """Each state's name, a project whose database is in it, and the variables with which to ask."""
    for name, arrange in SCENES.items():
        made = create_database(cluster, name)
        database = Database(name, cluster.superuser_url(name), made.app_url, made.migrator_url)
        project = Project(folder / name, database.migrator_url)
        project.write_history()
        arrange(project, database)
        both = {"DATABASE_URL": database.app_url}
        if name != "unreachable":
            yield name.replace("migration_failed", "behind: a run failed"), project, both
            continue
        for rung, address in _out_of_reach(database.migrator_url, silent):
            yield f"unreachable: {rung}", project, {"MIGRATION_DATABASE_URL": address}


def _out_of_reach(url: str, silent: int) -> Iterator[tuple[str, str]]:
    parts = urlsplit(url)
    yield "dns", url.replace(str(parts.hostname), "no-such-host.invalid", 1)
    yield "tcp", url.replace(f":{parts.port}/", f":{free_port()}/")
    yield "tls", f"{url}?sslmode=require"
    yield "login", url.replace(str(parts.password), "another", 1)
    yield "database", f"{url}_of_somebody"
    yield "silent", url.replace(f":{parts.port}/", f":{silent}/")


def _timed(project: Project, variables: dict[str, str], state: str) -> float:
    began = time.perf_counter()
    done = run(
        sys.executable,
        "-m",
        "migration_gate",
        "status",
        "--json",
        env=project.environment(variables),
        cwd=project.folder,
    )
    took_s = time.perf_counter() - began
    told = json.loads(done.stdout)
    assert state in {told["state"], *(finding["state"] for finding in told["findings"])}, done.stdout + done.stderr
    return took_s


if __name__ == "__main__":
    sys.exit(main())
