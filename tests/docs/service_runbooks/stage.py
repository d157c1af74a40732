"""Where a runbook is played: the service and what watches it, as processes on a real PostgreSQL, and a shell.

The PostgreSQL lasts for a module of tests; everything else is new for each scene and gone after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from stack.monitoring import Part
from stack.postgres import Cluster, create_database, drop_database
from tests import plain_http
from tests.databases import MIGRATED_TEMPLATE, Database
from tests.docs.service_runbooks.files import ALERTMANAGER, PROMETHEUS, Ports, write_reviewed
from tests.docs.service_runbooks.shell import Shell
from tests.monitoring_programs import monitoring_programs
from tests.processes import Service, lacking

DATABASE = "taskmanager"
DISK = "TASKMANAGER_DISK_FOLDER"


class Stage:
    """One scene's folder, addresses and processes.

    Parameters
    ----------
    cluster: its PostgreSQL; the database is made anew.
    folder: an empty one.
    replicas: how many Prometheus is told of.
    """

    def __init__(self, cluster: Cluster, folder: Path, running: ExitStack, replicas: int) -> None:
        self.cluster, self.folder, self._running = cluster, folder, running
        self.ports = ports = Ports.free()
        self.database = _fresh_database(cluster)
        at = "http://127.0.0.1:{}".format
        self.shell = Shell(
            folder,
            {
                "SERVICE": at(ports.service),
                "REPLICA": at(ports.replica),
                "PROMETHEUS": at(ports.prometheus),
                "ALERTMANAGER": at(ports.alertmanager),
                "INCIDENTS": at(ports.incidents),
                "BACKUPS": at(ports.backups),
                "DATABASE_URL": self.database.app_url,
                "MIGRATION_DATABASE_URL": self.database.migrator_url,
                "ADMIN_URL": self.database.admin_url,
                "TASKMANAGER_BACKUP_FOLDER": str(folder / "backups"),
                "TASKMANAGER_BACKUP_SCRATCH_URL": self.database.admin_url,
            },
        )
        running.callback(self.shell.close)
        write_reviewed(folder, ports, [ports.service, ports.replica][:replicas])
        self.service: Service
        self.replica: Service
        self.receiver: Part
        self.scheduler: Part
        self.prometheus = self._part("Prometheus", ports.prometheus, "/-/ready", *self._prometheus())
        self.alertmanager = self._part("Alertmanager", ports.alertmanager, "/-/ready", *self._alertmanager())

    def _prometheus(self) -> list[str | Path]:
        return [
            monitoring_programs().prometheus,
            f"--config.file={self.folder / PROMETHEUS}",
            f"--storage.tsdb.path={self.folder / 'prometheus-data'}",
            f"--web.listen-address=127.0.0.1:{self.ports.prometheus}",
            # As `stack up` has it: what could not be handed over before Alertmanager was known waits for it.
            "--rules.alert.resend-delay=5s",
        ]

    def _alertmanager(self) -> list[str | Path]:
        return [
            monitoring_programs().alertmanager,
            f"--config.file={self.folder / ALERTMANAGER}",
            f"--storage.path={self.folder / 'alertmanager-data'}",
            f"--web.listen-address=127.0.0.1:{self.ports.alertmanager}",
            "--cluster.listen-address=",
        ]

    def make_receiver(self, *options: str) -> Part:
        """The incident receiver, not started."""
        serve = [sys.executable, "-m", "taskmanager", "incidents", "serve", "--port", f"{self.ports.incidents}"]
        journal = ["--journal", f"{self.folder / 'incidents.jsonl'}"]
        return self._part("the incident receiver", self.ports.incidents, "/livez", *serve, *journal, *options)

    def make_scheduler(self) -> Part:
        """The scheduler of backups, not started."""
        # As a reader would start it, with what they were told to set.
        own = [f"{name}={value}" for name, value in self.shell.variables.items()]
        backup = ["env", *own, sys.executable, "-m", "taskmanager", "backup", "--every", "24h"]
        listen = ["--listen", f"127.0.0.1:{self.ports.backups}"]
        return self._part("the scheduler of backups", self.ports.backups, "/livez", *backup, *listen)

    def _part(self, name: str, port: int, ready: str, *command: str | Path) -> Part:
        part = Part(name, command, port, self.folder / f"{port}.log", ready_path=ready)
        self._running.callback(part.stop)
        return part

    def serve(self, port: int, **settings: str) -> Service:
        """A replica on a port, with this scene's database unless told otherwise."""
        command = (*self.shell.within, sys.executable, "-m", "taskmanager", "serve", "--port", "{port}")
        named = ("DATABASE_URL", "MIGRATION_DATABASE_URL", DISK)
        own = {name: self.shell.variables[name] for name in named if name in self.shell.variables}
        return self._running.enter_context(Service(own | settings, self.folder, command, port=port))

    def execute(self, *statements: str, as_migrator: bool = False) -> list[tuple[object, ...]]:
        """Run statements, as the superuser unless told otherwise, and return the last one's rows."""
        url = self.database.migrator_url if as_migrator else self.database.admin_url
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def session(self, name: str, *statements: str, autocommit: bool = False) -> Iterator[None]:
        """A session of the migrator's role that stays, with its transaction open unless told otherwise."""
        connection = psycopg.connect(self.database.migrator_url, application_name=name, autocommit=autocommit)
        try:
            for statement in statements:
                connection.execute(statement)
            yield
        finally:
            connection.close()

    def new_task(self) -> int:
        """A task of the service's, by its id."""
        made = plain_http.post(f"{self.service.url}/tasks", json={"title": "Call back"}).raise_for_status()
        return int(made.json()["id"])

    def ask(self, query: str) -> list[float]:
        """What Prometheus gives for a query: the value of each series."""
        address = f"{self.prometheus.url}/api/v1/query"
        answer = plain_http.get(address, params={"query": query}, timeout=10).raise_for_status().json()
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def own_disk(self) -> None:
        """A file system of four megabytes as the service's disk, which only it and the shell see."""
        folder = self.folder / "disk"
        folder.mkdir()
        alone, inside = (("-m",), ("-m",)) if os.geteuid() == 0 else (("-rm",), ("-U", "--preserve-credentials", "-m"))
        mount = f"mount -t tmpfs -o size=4m none '{folder}' && echo ready && exec sleep infinity"
        holder = subprocess.Popen(
            ["unshare", *alone, "sh", "-c", mount], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._running.callback(_kill, holder)
        assert holder.stdout is not None
        with holder.stdout as told:
            ready = told.readline() == b"ready\n"
        if not ready:
            lacking("a mount namespace", "run the tests where `unshare -rm` may mount a tmpfs")
        self.shell.within = ("nsenter", "-t", str(holder.pid), *inside, "--")
        self.shell.variables[DISK] = str(folder)


@contextmanager
def stage(cluster: Cluster, folder: Path, replicas: int = 1) -> Iterator[Stage]:
    with ExitStack() as running:
        yield Stage(cluster, folder, running, replicas)


def started(part: Part) -> Part:
    """The part, once it answers."""
    part.start()
    assert part.wait_until_ready(30), part.log.read_text()
    return part


def until(holds: Callable[[], object], what: str, within_s: float = 45.0) -> None:
    """Wait until something holds; metrics follow a fault by seconds, on a busy machine by many."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.5)


def _fresh_database(cluster: Cluster) -> Database:
    drop_database(cluster, DATABASE)
    made = create_database(cluster, DATABASE, MIGRATED_TEMPLATE)
    return Database(DATABASE, cluster.superuser_url(DATABASE), made.app_url, made.migrator_url)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=20)
