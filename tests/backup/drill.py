"""The restore drill: load a service, back it up while it writes, destroy its data folder, bring it back, and compare.

    python -m tests.backup.drill                   5,000 tasks, some seconds of writing
    python -m tests.backup.drill --tasks 100000    as many as you have
    python -m tests.backup.drill --json            for a machine

Everything is its own: two PostgreSQL servers, one after the other, and a service. Measured are the RPO, which is what
was written after the backup and so is lost, and the RTO, from the start of the restore to the first 200 of /tasks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from stack.postgres import Cluster, Database, create_database
from tests import plain_http
from tests.conftest import forget_settings
from tests.processes import ROOT, Service, free_port, run_alembic

_WRITES_FOR_S = 2.0
_PAUSE_S = 0.01
_ANSWERS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Drill:
    """What was measured. Durations in seconds; `problems` are sentences, none where all came back."""

    tasks: int
    backup_bytes: int
    backup_s: float
    verification_s: float
    written_meanwhile: int
    lost_writes: int
    lost_s: float
    new_server_s: float
    restore_s: float
    restore_steps_s: dict[str, float]
    rto_s: float
    roles_checksum: str
    tables: int
    problems: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill and return its exit status: 1 where something did not come back."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.backup.drill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=5000, metavar="N", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    options = parser.parse_args(arguments)
    forget_settings()
    drill = run(options.tasks)
    print(json.dumps(asdict(drill), indent=2) if options.json else told(drill))
    return 1 if drill.problems else 0


def run(tasks: int) -> Drill:
    """The whole drill, in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="taskmanager-drill-"))
    # PostgreSQL's account must come in when root runs it.
    folder.chmod(0o711)
    try:
        return _run(folder, tasks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told(drill: Drill) -> str:
    """The figures for people."""
    steps = ", ".join(f"{name} {duration_s:.2f} s" for name, duration_s in drill.restore_steps_s.items())
    lines = [
        f"{drill.tasks:,} tasks, and {drill.written_meanwhile} written while the backup was made",
        f"backup    {drill.backup_s:.2f} s, {drill.backup_bytes:,} bytes; verified in {drill.verification_s:.2f} s",
        f"RPO       {drill.lost_writes} writes of the {drill.lost_s:.2f} s after the backup's snapshot are lost",
        f"server    a new one in {drill.new_server_s:.2f} s (not part of the RTO)",
        f"restore   {drill.restore_s:.2f} s ({steps})",
        f"RTO       {drill.rto_s:.2f} s from the start of the restore to the first 200 of /tasks",
        f"equal     {drill.tables} tables, ledger and revision, roles {drill.roles_checksum[:12]}…"
        if not drill.problems
        else "NOT EQUAL " + "; ".join(drill.problems),
    ]
    return "\n".join(lines)


def _run(folder: Path, tasks: int) -> Drill:
    cluster = Cluster(folder / "data")
    with cluster:
        database = create_database(cluster, "taskmanager")
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": database.migrator_url})
        _load(database, tasks)
        environment = _environment(database, cluster, folder)
        with Service(environment, folder) as service:
            service.wait_for("/readyz", 200)
            with _writing(service) as written:
                _wait_until(lambda: len(written) >= 3, "the service writes")
                before = len(written)
                manifest = _command(environment, "backup")
                meanwhile = len(written) - before
                time.sleep(_WRITES_FOR_S)
            service.stop()
        last = _last_written(database)
    # The disaster: the data folder with all that was in it.
    shutil.rmtree(cluster.folder / "postgres")
    return _bring_back(folder, tasks, manifest, written, meanwhile, last)


def _bring_back(
    folder: Path, tasks: int, manifest: dict[str, Any], written: list[int], meanwhile: int, last: float
) -> Drill:
    began = time.monotonic()
    with Cluster(folder / "new", durable=True) as cluster:
        database = create_database(cluster, "taskmanager")
        new_server_s = time.monotonic() - began
        environment = _environment(database, cluster, folder)
        with Service(environment, folder, port=free_port()) as service:
            # It listens and waits for a schema that it can serve, as it does wherever its database is away.
            service.wait_for("/readyz", 503)
            began = time.monotonic()
            answered = _first_answer(service)
            report = _command(environment, "restore", manifest["name"])
            restore_s = time.monotonic() - began
            rto_s = answered() - began
            problems = [*report["problems"], *_lost_ones_that_were_not(database, manifest, written)]
            problems += [] if report["schema"]["state"] == "current" else [f"the schema is {report['schema']['state']}"]
        lost = _lost(database, written)
        snapshot = _epoch(manifest["made_at"])
        return Drill(
            tasks=tasks,
            backup_bytes=sum(file["bytes"] for file in manifest["files"].values()),
            backup_s=manifest["duration_s"],
            verification_s=manifest["verification"]["duration_s"],
            written_meanwhile=meanwhile,
            lost_writes=len(lost),
            lost_s=round(last - snapshot, 3),
            new_server_s=round(new_server_s, 3),
            restore_s=round(restore_s, 3),
            restore_steps_s=report["durations_s"],
            rto_s=round(rto_s, 3),
            roles_checksum=_roles_checksum(environment),
            tables=len(manifest["tables"]),
            problems=[*problems, *_roles_that_differ(environment, manifest)],
        )


def _environment(database: Database, cluster: Cluster, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database.app_url,
        "MIGRATION_DATABASE_URL": database.migrator_url,
        "TASKMANAGER_BACKUP_FOLDER": str(folder / "backups"),
        "TASKMANAGER_BACKUP_SCRATCH_URL": cluster.superuser_url(),
    }


def _load(database: Database, tasks: int) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tasks (title, description, tags, priority, due_at)"
            " SELECT 'Task ' || i, repeat('what is to be done ', 1 + i %% 20), ARRAY['drill', 't' || i %% 50],"
            " 1 + i %% 3, now() + make_interval(hours => i %% 1000) FROM generate_series(1, %s) i",
            [tasks],
        )


@contextmanager
def _writing(service: Service) -> Iterator[list[int]]:
    """Clients that create tasks; the ids that were answered 201."""
    written: list[int] = []
    ended = threading.Event()

    def write() -> None:
        with plain_http.Client(base_url=service.url, timeout=10) as client:
            while not ended.wait(_PAUSE_S):
                answer = client.post("/tasks", json={"title": "written during the drill"})
                if answer.status_code == 201:
                    written.append(answer.json()["id"])

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield written
    finally:
        ended.set()
        writing.join()


def _first_answer(service: Service) -> Any:
    """Ask /tasks from another thread until it answers 200; what is returned waits for that, and tells when it was."""
    at: list[float] = []

    def ask() -> None:
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while time.monotonic() < deadline:
            if service.get("/tasks").status_code == 200:
                at.append(time.monotonic())
                return
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()

    def answered() -> float:
        asking.join()
        assert at, f"/tasks did not answer 200 within {_ANSWERS_WITHIN_S} s\n{service.log}"
        return at[0]

    return answered


def _command(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "taskmanager", *arguments, "--json"],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _last_written(database: Database) -> float:
    with psycopg.connect(database.migrator_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM max(created_at))::float8 FROM tasks").fetchone()
    return float(row[0]) if row else 0.0


def _lost(database: Database, written: list[int]) -> list[int]:
    with psycopg.connect(database.migrator_url) as connection:
        there = {row[0] for row in connection.execute("SELECT id FROM tasks WHERE id = ANY(%s)", [written])}
    return [id_ for id_ in written if id_ not in there]


def _lost_ones_that_were_not(database: Database, manifest: dict[str, Any], written: list[int]) -> list[str]:
    """What was answered before the snapshot must be there: the lost ones are the newest, without a gap."""
    lost = _lost(database, written)
    if lost and lost != written[len(written) - len(lost) :]:
        return ["a task is lost that was written before one that is there"]
    rows = next(table["rows"] for table in manifest["tables"] if table["name"] == "public.tasks")
    with psycopg.connect(database.migrator_url) as connection:
        row = connection.execute("SELECT count(*) FROM tasks").fetchone()
    return [] if row and row[0] == rows else [f"there are {row and row[0]} tasks, and {rows} were backed up"]


def _roles_checksum(environment: dict[str, str]) -> str:
    """Of the new server's roles, read for a backup of it."""
    return str(_command(environment, "backup")["roles"]["checksum"])


def _roles_that_differ(environment: dict[str, str], manifest: dict[str, Any]) -> list[str]:
    newest = _command(environment, "backups")[0]  # type: ignore[index]  # it is a list
    problems = []
    if newest["roles"]["checksum"] != manifest["roles"]["checksum"]:
        problems.append("the roles are not what they were")
    if newest["privileges"] != manifest["privileges"]:
        problems.append("owners and rights are not what they were")
    if newest["tables"] != manifest["tables"] or newest["history"] != manifest["history"]:
        problems.append("tables or ledger are not what they were")
    return problems


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _wait_until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
