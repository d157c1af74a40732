"""From a process's first moment to its first list of tasks, on a schema that is up to date."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contestants import BRIEF, SERVERS, THIS, Contestant, Launch, peer_environment
from benchmarks.environments import PEERS, ensure_python
from benchmarks.failures import BenchmarkError, WrongAnswer
from benchmarks.loopback import get_request
from benchmarks.series import Series
from benchmarks.server import Server
from benchmarks.table import Database, copy_of, empty, fill, make_template, migrate
from benchmarks.throughput import ROWS
from stack.ports import free_port
from stack.postgres import Cluster

TEMPLATE = "bench_cold"
PAUSE_S = 0.002
GIVE_UP_S = 30.0

# Word for word the brief's, but for the address.
BRIEF_COMMAND = "alembic upgrade head && uvicorn main:app --host 127.0.0.1 --port {port}"


@dataclass
class ColdStart:
    """Seconds by contestant; `void` or `missing` says why there are none."""

    seconds: dict[str, Series]
    void: str | None = None


def measure_cold_starts(cluster: Cluster, repeats: int, folder: Path, say: Callable[[str], None]) -> ColdStart:
    """Start both in turns, `repeats` times each after one start that fills the disk's cache.

    Raises
    ------
    Missing: the brief's packages cannot be had.
    """
    python = ensure_python()
    make_template(cluster, TEMPLATE, ROWS)
    theirs = empty(cluster, "bench_cold_brief")
    # Its own migration, in its own database with its own version table: up to date for both.
    migrate(theirs, PEERS / BRIEF, python)
    fill(theirs, ROWS)
    taken: dict[str, list[float]] = {THIS: [], BRIEF: []}
    with copy_of(cluster, TEMPLATE, "bench_cold_this") as ours:
        starts: Mapping[str, Callable[[int], Launch]] = {
            THIS: lambda port: _this_launch(SERVERS[THIS], port, ours, folder),
            BRIEF: lambda port: _brief_launch(port, theirs),
        }
        for number in range(-1, repeats):
            for name, launch in starts.items():
                try:
                    seconds = _start_once(launch, folder)
                except WrongAnswer as wrong:
                    return ColdStart({}, f"{name}: {wrong}")
                if number >= 0:
                    taken[name].append(seconds)
                    say(f"start {number + 1} of {repeats}, {SERVERS[name].title}: {seconds * 1000:.0f} ms")
    return ColdStart({name: Series(tuple(values)) for name, values in taken.items()})


def _this_launch(contestant: Contestant, port: int, database: Database, folder: Path) -> Launch:
    launch = contestant.launch(port, database, folder)
    # The brief's command migrates as it starts: so does ours.
    return replace(launch, environment=launch.environment | {"TASKMANAGER_MIGRATE": "on_start"})


def _brief_launch(port: int, database: Database) -> Launch:
    variables = peer_environment(database) | {"MIGRATION_DATABASE_URL": database.migrator_url}
    path = f"{ensure_python().parent}:{variables['PATH']}"
    return Launch(["sh", "-c", BRIEF_COMMAND.format(port=port)], variables | {"PATH": path}, PEERS / BRIEF)


def _start_once(launch: Callable[[int], Launch], folder: Path) -> float:
    port = free_port()
    started = launch(port)
    with Server(started, port, folder / "cold-start.log") as server:
        request = get_request("/tasks", {**started.headers, "Connection": "close"})
        while time.monotonic() - server.started < GIVE_UP_S:
            if _status(port, request) == 200:
                return time.monotonic() - server.started
            server.require_running()
            time.sleep(PAUSE_S)
        raise WrongAnswer(f"no list of tasks within {GIVE_UP_S:.0f} s; its log ends: {server.log_end()}")


def _status(port: int, request: bytes) -> int | None:
    """The status that a GET is answered with, None while nobody listens or answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request)
            head = connection.recv(64)
    except OSError:
        return None
    if not head.startswith(b"HTTP/1.1 "):
        raise BenchmarkError(f"not an HTTP answer: {head!r}")
    return int(head[9:12])
