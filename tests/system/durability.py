"""Kill the service or PostgreSQL under writing clients, again and again, and look for what was lost or doubled.

    .venv/bin/python -m tests.system.durability --rounds 200
    .venv/bin/python -m tests.system.durability --rounds 20 --synchronous-commit off    # must fail: it loses writes

Exit status 1 where an acknowledged write is not there, or one is there twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from stack.postgres import Cluster, create_database, temporary_cluster
from tests import plain_http
from tests.processes import Service, run_alembic
from tests.system.durable_writers import Content, Unexpected, Writer, faults_of

SERVER, POSTGRES = "server", "postgres"
KINDS = (SERVER, POSTGRES)
WRITERS = 6
PATIENCE_S = 60.0
FAULTS_TOLD = 10


@dataclass(frozen=True)
class Round:
    """What one kill left behind."""

    kind: str
    acknowledged: int
    unanswered: int
    faults: tuple[str, ...]


class Trial:
    """A service on a PostgreSQL of its own, and clients whose tasks live through every round."""

    def __init__(self, cluster: Cluster, folder: Path, seed: int) -> None:
        self._cluster = cluster
        self._folder = folder
        self._chance = random.Random(seed)  # noqa: S311  to be repeated by its seed
        database = create_database(cluster, "durability")
        self._app_url, self._migrator_url = database.app_url, database.migrator_url
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": self._migrator_url})
        self._writers = [Writer(f"writer-{number}", self._chance.getrandbits(32)) for number in range(WRITERS)]
        self._service = self._serve()

    def round(self, kind: str) -> Round:
        """Let everybody write, kill at a moment of chance, start again, and compare."""
        before, unanswered_before = self._acknowledged(), self._unanswered()
        stop = threading.Event()
        with ThreadPoolExecutor(WRITERS) as threads:
            writing = [threads.submit(writer.write, self._service.url, stop) for writer in self._writers]
            try:
                self._wait_until_writing(before)
                time.sleep(self._chance.uniform(0.02, 0.6))
                self._kill_service() if kind == SERVER else self._kill_postgres()
                # Each of them goes on until it loses an answer: nobody is told to stop before it met the outage.
                wait(writing, PATIENCE_S)
            finally:
                stop.set()
            faults = [repr(error) for future in writing if (error := future.exception(PATIENCE_S)) is not None]
        acknowledged, unanswered = self._acknowledged() - before, self._unanswered() - unanswered_before
        self._start_again(kind)
        faults += self._repeat_unanswered()
        faults += faults_of([writer.ledger for writer in self._writers], self._rows())
        faults += self._differences_over_http()
        return Round(kind, acknowledged, unanswered, tuple(faults))

    def end(self) -> None:
        self._service.stop(signal.SIGKILL)

    def _serve(self) -> Service:
        service = Service({"DATABASE_URL": self._app_url}, self._folder)
        service.wait_for("/readyz", 200, within_s=PATIENCE_S)
        return service

    def _acknowledged(self) -> int:
        return sum(writer.ledger.acknowledged for writer in self._writers)

    def _unanswered(self) -> int:
        ledgers = [writer.ledger for writer in self._writers]
        return sum(
            len(kept) for ledger in ledgers for kept in (ledger.pending, ledger.unanswered, ledger.unanswered_keys)
        )

    def _wait_until_writing(self, before: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self._acknowledged() < before + WRITERS:
            assert time.monotonic() < deadline, f"nobody can write:\n{self._service.log}"
            time.sleep(0.005)

    def _kill_service(self) -> None:
        self._service.stop(signal.SIGKILL)

    def _kill_postgres(self) -> None:
        postmaster = psutil.Process(self._cluster.pid)
        # The postmaster first, or it would begin to recover from the loss of its sessions.
        for process in (postmaster, *postmaster.children(recursive=True)):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + PATIENCE_S
        while self._cluster.poll() is None:
            assert time.monotonic() < deadline, "the postmaster outlived SIGKILL"
            time.sleep(0.005)

    def _start_again(self, kind: str) -> None:
        if kind == POSTGRES:
            port = self._cluster.port
            self._cluster.stop()
            self._cluster.start()
            if self._cluster.port != port:  # somebody else took it in the meantime
                self._app_url = self._app_url.replace(f":{port}/", f":{self._cluster.port}/")
                self._migrator_url = self._migrator_url.replace(f":{port}/", f":{self._cluster.port}/")
                self._kill_service()
        if self._service.process.poll() is not None:
            self._service = self._serve()
        self._service.wait_for("/readyz", 200, within_s=PATIENCE_S)

    def _repeat_unanswered(self) -> Iterator[str]:
        deadline = time.monotonic() + PATIENCE_S
        with plain_http.Client(base_url=self._service.url, timeout=10) as client:
            for writer in self._writers:
                try:
                    while not writer.repeat_unanswered(client):
                        assert time.monotonic() < deadline, f"it does not write again:\n{self._service.log}"
                        time.sleep(0.05)
                except Unexpected as error:
                    yield repr(error)

    def _rows(self) -> dict[int, Content]:
        with psycopg.connect(self._migrator_url) as connection:
            return {
                id_: Content(title, description, version)
                for id_, title, description, version in connection.execute(
                    "SELECT id, title, description, version FROM tasks"
                )
            }

    def _differences_over_http(self) -> Iterator[str]:
        """The newest task of each client, as the service tells it."""
        for writer in self._writers:
            for id_, promised in list(writer.ledger.tasks.items())[-1:]:
                answer = self._service.get(f"/tasks/{id_}")
                told = answer.json()
                found = (told.get("title"), told.get("description"), answer.headers.get("etag"))
                if found != (promised.title, promised.description, f'"{promised.version}"'):
                    yield f"task {id_}: promised {promised}, told {answer.status_code} {found}"


@contextmanager
def trial(seed: int, synchronous_commit: str = "on") -> Iterator[Trial]:
    """A trial on a cluster that is as safe as PostgreSQL is by itself, unless told otherwise."""
    settings = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": synchronous_commit}
    with tempfile.TemporaryDirectory(prefix="durability-") as folder, temporary_cluster(settings=settings) as cluster:
        running = Trial(cluster, Path(folder), seed)
        try:
            yield running
        finally:
            running.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.durability", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=20, help="kills in total (default: 20)")
    parser.add_argument(
        "--kind", choices=(*KINDS, "both"), default="both", help="what is killed (default: both, in turn)"
    )
    parser.add_argument("--seed", type=int, default=None, help="of every choice (default: one of chance, printed)")
    parser.add_argument("--synchronous-commit", choices=("on", "off"), default="on", help="off loses writes: a proof")
    options = parser.parse_args(arguments)
    os.environ["TASKMANAGER_ENV_FILE"] = ""
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    kinds = KINDS if options.kind == "both" else (options.kind,)
    rounds: list[Round] = []
    began = time.monotonic()
    with trial(seed, options.synchronous_commit) as running:
        for number in range(options.rounds):
            done = running.round(kinds[number % len(kinds)])
            rounds.append(done)
            print(
                f"{number + 1:4} {done.kind:8} {done.acknowledged:5} acknowledged, {done.unanswered} unanswered,"
                f" {len(done.faults)} faults",
                flush=True,
            )
            for fault in done.faults[:FAULTS_TOLD]:
                print(f"     {fault}", flush=True)
    faults = sum(len(done.faults) for done in rounds)
    killed = ", ".join(f"{sum(done.kind == kind for done in rounds)} x {kind}" for kind in kinds)
    print(
        f"{len(rounds)} kills ({killed}) in {time.monotonic() - began:.0f} s:"
        f" {sum(done.acknowledged for done in rounds)} writes acknowledged,"
        f" {sum(done.unanswered for done in rounds)} left unanswered, {faults} lost or doubled"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
