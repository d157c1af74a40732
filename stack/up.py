"""`stack up`: PostgreSQL and the service together, until Ctrl-C."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stack.database_urls import (
    DISK_VARIABLE,
    GATE_VARIABLE,
    MIGRATE_VARIABLE,
    DatabaseUrls,
    alembic_command,
    chosen_urls,
    mask_password,
    remove_service_env,
    write_service_env,
)
from stack.deploy.probe_key import probe_key
from stack.deploy.replicas import FOLDER, ReplicaOptions, Replicas, Surroundings
from stack.errors import StackError
from stack.folders import prepare_folder
from stack.health import Health
from stack.lock import FolderLock
from stack.monitoring.beside_service import BesideService, MonitoringOptions
from stack.ports import LOOPBACK, require_bindable
from stack.postgres import Cluster, ensure_database
from stack.process import GuardedProcess, describe_end
from stack.service import answers, base_url, get, service_command, start_service, wait_until_ready
from stack.stop_signals import StopSignals
from stack.summary import print_summary, say
from stack.user_settings import UserSettings, read_user_settings

LOCK_FILE = "stack.lock"
WATCH_SECONDS = 0.2
UNMIGRATED_SECONDS = 3.0
LISTEN_SECONDS = 10.0


class Part(Protocol):
    """Something that runs: the service, PostgreSQL."""

    name: str

    def poll(self) -> int | None: ...

    def stop(self) -> object: ...

    def hasten(self) -> None: ...


@dataclass(frozen=True)
class Options:
    """`command` runs the service (None: TaskManager API's own); `ready_timeout` is in seconds.

    `replicas` is None for one service that holds the port itself, and that no deployment replaces.
    """

    host: str
    port: int
    data: Path
    command: Sequence[str] | None = None
    ready_timeout: float = 120.0
    monitoring: MonitoringOptions = field(default_factory=MonitoringOptions)
    replicas: ReplicaOptions | None = None


def run_until_stopped(options: Options) -> int:
    """Starts everything, waits for Ctrl-C, SIGTERM or SIGHUP, stops everything; returns the exit code.

    Raises StackError when a part does not start or ends by itself; nothing is left running then either.
    """
    run = _Run(options)
    signals = StopSignals(run.hasten)
    signals.install()
    try:
        run.start()
        run.watch()
    except KeyboardInterrupt:
        say("stopping …")
    finally:
        signals.begin_stopping()
        run.stop()
        signals.end()
    say("stopped")
    return 0


class _Run:
    def __init__(self, options: Options) -> None:
        self.data = options.data.absolute()
        self._options = options
        self._parts: list[Part] = []
        self._cluster: Cluster | None = None
        self._monitoring = BesideService(options.monitoring, self.data, say)
        self._replicas: Replicas | None = None
        self._lock = FolderLock(
            self.data / LOCK_FILE,
            f"another `make run` is already using {self.data}",
            "to run a second one beside it: make run DATA=.data/other PORT=8001",
        )

    def start(self) -> None:
        options = self._options
        settings = read_user_settings()
        urls = chosen_urls(settings)
        prepare_folder(self.data)
        # Before the port: who types `make run` twice must learn of the first, not try another port.
        self._lock.acquire(serves=base_url(options.host, options.port))
        remove_service_env(self.data)
        require_bindable(options.host, options.port)
        self._monitoring.prepare(options.host, options.port, settings)
        folder = addresses = alembic = None
        if urls is None:
            cluster = self._start_postgres()
            urls, folder = DatabaseUrls.of(ensure_database(cluster)), cluster.folder
            addresses, alembic = write_service_env(self.data, urls), alembic_command(self.data)
        else:
            say(f"DATABASE_URL is set in {urls.origin}: using {mask_password(urls.app)}, no PostgreSQL is started")
        # The disk that the data are on is known here alone; a server of the user's may be anywhere.
        disk = {} if folder is None or settings.value(DISK_VARIABLE) else {DISK_VARIABLE: f"{folder}"}
        if options.replicas is None:
            self._serve_alone(urls, settings, disk, alembic)
        else:
            self._serve_by_replicas(options.replicas, urls, settings, disk)
        if settings.choice(GATE_VARIABLE) == "off":
            say("the schema gate is off: /health says nothing of the schema")
        print_summary(
            base_url(options.host, options.port),
            mask_password(urls.app),
            folder,
            addresses,
            options.port,
            docs_served=get(options.host, options.port, "/docs")[0] == 200,
            key_needed=get(options.host, options.port, "/tasks?limit=1")[0] == 401,
            monitoring={**self._replica_places(), **self._monitoring.places()},
        )

    def _start_postgres(self) -> Cluster:
        begun = time.monotonic()
        cluster = Cluster(self.data, say=say)
        self._parts.append(cluster)
        self._cluster = cluster
        cluster.start()
        say(
            f"PostgreSQL {cluster.binaries.version} ready in {time.monotonic() - begun:.1f} s "
            f"on {LOOPBACK}:{cluster.port}"
        )
        return cluster

    def _serve_alone(
        self, urls: DatabaseUrls, settings: UserSettings, disk: Mapping[str, str], alembic: str | None
    ) -> None:
        options = self._options
        begun = time.monotonic()
        service = self._start_service(urls, settings, disk)
        self._monitoring.begin()
        if answers(service, options.host, options.port, LISTEN_SECONDS):
            self._monitoring.start(options.host, options.port)
        self._wait_for_service(service, begun, settings, alembic)

    def _serve_by_replicas(
        self, replicas: ReplicaOptions, urls: DatabaseUrls, settings: UserSettings, disk: Mapping[str, str]
    ) -> None:
        options = self._options
        # They run in the folders of their releases, where no .env of the user's lies.
        variables = {**settings.naming_their_file(), **urls.environment(), MIGRATE_VARIABLE: "never", **disk}
        variables |= self._monitoring.service_variables
        key = probe_key(settings, variables)
        around = Surroundings(
            options.host,
            options.port,
            {**variables, **key.service},
            lambda: key.key,
            self._monitoring.retarget,
            self._monitoring.report,
            say,
            migrates=settings.choice(MIGRATE_VARIABLE) != "never",
        )
        self._monitoring.begin()
        self._replicas = Replicas(self.data, replicas, around)
        self._parts.append(self._replicas)
        self._replicas.start()
        self._monitoring.start(options.host, options.port)

    def _replica_places(self) -> dict[str, str]:
        if self._replicas is None:
            return {}
        return {"replicas": f"{self._replicas.describe()}, their logs in {self.data / FOLDER}"}

    def _start_service(self, urls: DatabaseUrls, settings: UserSettings, disk: Mapping[str, str]) -> GuardedProcess:
        options = self._options
        migrate = {} if settings.choice(MIGRATE_VARIABLE) else {MIGRATE_VARIABLE: "on_start"}
        command = options.command or service_command(options.host, options.port)
        variables = {**urls.environment(), **migrate, **disk, **self._monitoring.service_variables}
        service = start_service(command, variables)
        self._parts.append(service)
        return service

    def _wait_for_service(
        self, service: GuardedProcess, begun: float, settings: UserSettings, alembic: str | None
    ) -> None:
        options = self._options
        # Nobody migrates: whoever asked for that wants to see what the service says meanwhile.
        nobody_migrates = settings.choice(MIGRATE_VARIABLE) == "never"
        patience = UNMIGRATED_SECONDS if nobody_migrates else options.ready_timeout
        health = wait_until_ready(
            service, options.host, options.port, say, timeout=options.ready_timeout, patience=patience
        )
        if health is None:
            say(f"the service is ready after {time.monotonic() - begun:.1f} s")
        else:
            _say_what_to_do(health, time.monotonic() - begun, alembic, nobody_migrates=nobody_migrates)

    def watch(self) -> None:
        """Returns never: ends by KeyboardInterrupt, or StackError when a part ends by itself."""
        while True:
            # In the order of start: when PostgreSQL's end takes the service along, PostgreSQL is named.
            for part in self._parts:
                if (code := part.poll()) is not None:
                    raise StackError(f"{part.name} ended by itself with {describe_end(code)}; the rest is stopped")
            if self._cluster is not None:
                self._cluster.bound_log()
            if self._replicas is not None:
                self._replicas.look()
            self._monitoring.look()
            time.sleep(WATCH_SECONDS)

    def hasten(self) -> None:
        self._monitoring.hasten()
        for part in self._parts:
            part.hasten()

    def stop(self) -> None:
        """The newest part first, so that the service still has its database while it finishes requests.

        Monitoring before all of them: it would raise alerts of what is stopped on purpose.
        """
        with ExitStack() as closing:
            closing.callback(self._leave_folder)
            for part in self._parts:
                closing.callback(part.stop)
            closing.callback(self._monitoring.stop)

    def _leave_folder(self) -> None:
        if self._lock.is_held:
            remove_service_env(self.data)
            self._lock.release()


def _say_what_to_do(health: Health, waited: float, alembic: str | None, *, nobody_migrates: bool) -> None:
    """`waited` is in seconds; `alembic` calls it on the PostgreSQL started here, None for the user's."""
    advice = health.what_to_do(alembic)
    reason = health.why_waiting_is_vain()
    if not reason and nobody_migrates and health.schema_fault and not health.database_fault:
        reason = f"nobody migrates ({MIGRATE_VARIABLE}=never)"
    elif not reason:
        reason = f"{waited:.0f} s have passed"
        if health.migration == "running":
            reason, advice = f"{reason}, and the migration is still running", ""
        elif not health.describe():
            reason, advice = f"{reason}, and /health does not say why", ""
    if advice:
        say(f"the service goes on, not ready: {reason}. What to do, in another terminal; traffic flows by itself then:")
        say(f"  {advice}")
    else:
        say(f"the service goes on, not ready: {reason}. Traffic flows by itself once that has changed")
