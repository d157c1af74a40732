"""One round of the race: replicas that upgrade one database at once, what is seen of them, and what must hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psycopg

from tests.databases import Database
from tests.migration_gate.races.bookshop import BASE, INDEX, RACED, raced_project
from tests.migration_gate.races.traffic import Traffic, read, write
from tests.migration_gate.scratch import Project, until
from tests.warm_processes import start_module

READY_WITHIN_S = 180.0
ENDED_WITHIN_S = 180.0

#: How much longer than the migrator worked a replica may wait for the lock, in seconds.
SLACK_S = 2.0

#: The state of a round that plain Alembic ran, which keeps no ledger and gives no verdict.
WITHOUT_GATE = "not asked"


@dataclass(frozen=True)
class Replica:
    """One process; times on the clock of `time.monotonic`, None where it came to no such point."""

    exit_status: int
    asked: float | None
    got: float | None
    spared: float | None
    left: float | None
    output: str

    @property
    def asked_until(self) -> float | None:
        """When it had the lock, or knew that it needs none."""
        return self.got or self.spared

    @property
    def waited_s(self) -> float:
        return self.asked_until - self.asked if self.asked is not None and self.asked_until is not None else 0.0


@dataclass(frozen=True)
class Round:
    """What a round left, as it was seen afterwards. `applied` are the ledger's revisions in order, with the action."""

    replicas: tuple[Replica, ...]
    took_s: float
    migrator: int | None
    applied: tuple[tuple[str, str], ...]
    state: str
    index_valid: bool | None
    invalid_indexes: int
    locks_left: int
    sessions_left: int
    deadlocks: int
    deadlocks_in_log: int
    traffic_steps: int
    traffic_errors: tuple[str, ...]
    traffic_longest_s: float

    @property
    def worked_s(self) -> float:
        """How long the migrator held the lock."""
        if self.migrator is None:
            return 0.0
        worker = self.replicas[self.migrator]
        return worker.left - worker.got if worker.left is not None and worker.got is not None else 0.0

    @property
    def longest_wait_s(self) -> float:
        return max(replica.waited_s for replica in self.replicas)

    @property
    def longest_after_s(self) -> float:
        """The longest wait for the lock after the migrator had left it: what the others cost each other."""
        worker = self.replicas[self.migrator] if self.migrator is not None else None
        if worker is None or worker.left is None:
            return 0.0
        return max(
            (
                each.asked_until - max(each.asked, worker.left)
                for each in self.replicas
                if each.asked is not None and each.asked_until is not None
            ),
            default=0.0,
        )

    @property
    def waiters(self) -> int:
        """How many replicas asked for the lock and did not get it at once."""
        return sum(replica.waited_s > 0.05 for replica in self.replicas)


def race(folder: Path, database: Database, replicas: int, *, log: Path | None = None, plain: bool = False) -> Round:
    """Run a round in `folder` on a database at `BASE`; `log` is the server's."""
    project = raced_project(folder, database.migrator_url, plain=plain)
    log_began = log.stat().st_size if log is not None else 0
    deadlocks = _deadlocks(database)
    arguments = ("alembic", "upgrade", "head") if plain else ("migration_gate", "upgrade")
    with Traffic(database.app_url, read, read, write) as traffic:
        processes = [_process(project, arguments, number) for number in range(replicas)]
        until(lambda: len(list(folder.glob("ready-*"))) == replicas or _any_ended(processes), READY_WITHIN_S)
        began = time.monotonic()
        (folder / "go").touch()
        exits = [_end_of(process) for process in processes]
        took_s = time.monotonic() - began
    time.sleep(0.1)  # the server's sessions end a moment after their clients
    outputs = [(folder / f"replica-{number}.log").read_text() for number in range(replicas)]
    raced = tuple(_replica(exit_status, output) for exit_status, output in zip(exits, outputs, strict=True))
    told = log.read_bytes()[log_began:].decode(errors="replace") if log is not None else ""
    valid = database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
    return Round(
        replicas=raced,
        took_s=took_s,
        migrator=next((n for n, output in enumerate(outputs) if "migration run begins" in output), None),
        applied=_applied(database) if not plain else (),
        state=WITHOUT_GATE if plain else _state(project),
        index_valid=bool(valid[0][0]) if valid else None,
        invalid_indexes=_count(database, "pg_index WHERE NOT indisvalid"),
        locks_left=_count(
            database,
            "pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()"
            " AND l.locktype = 'advisory'",
        ),
        sessions_left=_count(
            database,
            "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migration-gate%'",
        ),
        deadlocks=_deadlocks(database) - deadlocks,
        deadlocks_in_log=told.count("deadlock detected"),
        traffic_steps=traffic.done,
        traffic_errors=tuple(traffic.errors),
        traffic_longest_s=traffic.longest_s,
    )


def violations(round_: Round) -> Iterator[str]:
    """What must hold of a round and does not, a sentence each."""
    for number, replica in enumerate(round_.replicas):
        if replica.exit_status != 0:
            last = (replica.output.strip().splitlines() or ["without a word"])[-1]
            yield f"replica {number} ended with {replica.exit_status}: {last}"
        if "40P01" in replica.output or "deadlock detected" in replica.output:
            yield f"replica {number} met a deadlock"
        if replica.waited_s > round_.worked_s + SLACK_S:
            yield (
                f"replica {number} waited {replica.waited_s:.2f} s for the lock, and the migrator worked"
                f" {round_.worked_s:.2f} s"
            )
    if round_.state != WITHOUT_GATE:
        migrators = sum("migration run begins" in replica.output for replica in round_.replicas)
        if migrators != 1:
            yield f"{migrators} replicas migrated"
        if round_.applied != tuple((id_, "upgrade") for id_ in (BASE, *RACED)):
            yield f"the ledger holds {round_.applied}"
        if round_.state != "current":
            yield f"the status is {round_.state}"
    if round_.index_valid is not True:
        yield f"the index is {'missing' if round_.index_valid is None else 'not valid'}"
    for what in ("invalid_indexes", "locks_left", "sessions_left", "deadlocks", "deadlocks_in_log"):
        if count := getattr(round_, what):
            yield f"{what.replace('_', ' ')}: {count}"
    for error in round_.traffic_errors:
        yield f"a reader or the writer was refused: {error}"
    if not round_.traffic_steps:
        yield "nobody read or wrote meanwhile"


def _process(project: Project, arguments: tuple[str, ...], number: int) -> ForkServerProcess:
    # They meet before they ask for the lock: what it takes to import the libraries is no part of the race.
    log = project.folder / f"replica-{number}.log"
    return start_module(*arguments, env=project.environment({}), cwd=project.folder, out=log, err=log)


def _any_ended(processes: list[ForkServerProcess]) -> bool:
    return any(process.exitcode is not None for process in processes)


def _end_of(process: ForkServerProcess) -> int:
    """Its exit status; a process that does not end is killed, by which its status tells that."""
    process.join(ENDED_WITHIN_S)
    if process.exitcode is None:
        process.kill()
        process.join(20)
    assert process.exitcode is not None
    return process.exitcode


def _replica(exit_status: int, output: str) -> Replica:
    at: dict[str, float] = {}
    for line in output.splitlines():
        if line.startswith('{"race"'):
            said = json.loads(line)
            # env.py is run before, for and after the upgrade: the one that asked for the lock counts.
            if said["race"] != "left" or ("got" in at and "left" not in at):
                at[said["race"]] = said["at"]
    return Replica(exit_status, at.get("asked"), at.get("got"), at.get("spared"), at.get("left"), output)


def _state(project: Project) -> str:
    told = project.gate("status", "--json")
    assert told.stdout, told.stderr
    return str(json.loads(told.stdout)["state"])


def _applied(database: Database) -> tuple[tuple[str, str], ...]:
    rows = database.execute("SELECT revision, action FROM migration_gate_revision ORDER BY id")
    return tuple((str(revision), str(action)) for revision, action in rows)


def _count(database: Database, of: str) -> int:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        row = admin.execute(f"SELECT count(*) FROM {of}".encode()).fetchone()
    return int(row[0]) if row else 0


def _deadlocks(database: Database) -> int:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        row = admin.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return int(row[0]) if row else 0
