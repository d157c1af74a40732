"""`stack up`: PostgreSQL and the service together, until Ctrl-C."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stack.database_urls import (
    MIGRATE_VARIABLE,
    DatabaseUrls,
    chosen_urls,
    mask_password,
    read_user_settings,
    remove_service_env,
    write_service_env,
)
from stack.errors import StackError
from stack.folders import prepare_folder
from stack.lock import FolderLock
from stack.ports import LOOPBACK, require_bindable
from stack.postgres import Cluster, ensure_database
from stack.process import describe_end
from stack.service import base_url, service_command, start_service, wait_until_ready
from stack.stop_signals import StopSignals
from stack.summary import print_summary, say

LOCK_FILE = "stack.lock"
WATCH_SECONDS = 0.2
UNMIGRATED_SECONDS = 3.0


class Part(Protocol):
    """Something that runs: the service, PostgreSQL."""

    name: str

    def poll(self) -> int | None: ...

    def stop(self) -> object: ...

    def hasten(self) -> None: ...


@dataclass(frozen=True)
class Options:
    """`command` runs the service (None: TaskManager API's own); `ready_timeout` is in seconds."""

    host: str
    port: int
    data: Path
    command: Sequence[str] | None = None
    ready_timeout: float = 120.0


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
    say("stopped")
    return 0


class _Run:
    def __init__(self, options: Options) -> None:
        self.data = options.data.absolute()
        self._options = options
        self._parts: list[Part] = []
        self._lock = FolderLock(self.data / LOCK_FILE, f"another `make run` is already using {self.data}")

    def start(self) -> None:
        options = self._options
        settings = read_user_settings()
        urls = chosen_urls(settings)
        prepare_folder(self.data)
        # Before the port: who types `make run` twice must learn of the first, not try another port.
        self._lock.acquire(serves=base_url(options.host, options.port))
        remove_service_env(self.data)
        require_bindable(options.host, options.port)
        folder = None
        if urls is None:
            cluster = self._start_postgres()
            urls, folder = DatabaseUrls.of(ensure_database(cluster)), cluster.folder
            write_service_env(self.data, urls)
        else:
            say(f"DATABASE_URL is set: using {mask_password(urls.app)}, no PostgreSQL is started")
        self._start_service(urls, settings)
        print_summary(base_url(options.host, options.port), mask_password(urls.app), folder, options.port)

    def _start_postgres(self) -> Cluster:
        begun = time.monotonic()
        cluster = Cluster(self.data, say=say)
        self._parts.append(cluster)
        cluster.start()
        say(
            f"PostgreSQL {cluster.binaries.version} ready in {time.monotonic() - begun:.1f} s "
            f"on {LOOPBACK}:{cluster.port}"
        )
        return cluster

    def _start_service(self, urls: DatabaseUrls, settings: Mapping[str, str]) -> None:
        options = self._options
        migrate = {} if MIGRATE_VARIABLE in settings else {MIGRATE_VARIABLE: "on_start"}
        command = options.command or service_command(options.host, options.port)
        service = start_service(command, urls.environment() | migrate)
        self._parts.append(service)
        begun = time.monotonic()
        # Nobody migrates: whoever asked for that wants to see what the service says meanwhile.
        patience = UNMIGRATED_SECONDS if settings.get(MIGRATE_VARIABLE) == "never" else options.ready_timeout
        if wait_until_ready(service, options.host, options.port, patience, say):
            say(f"the service is ready after {time.monotonic() - begun:.1f} s")

    def watch(self) -> None:
        """Returns never: ends by KeyboardInterrupt, or StackError when a part ends by itself."""
        while True:
            # In the order of start: when PostgreSQL's end takes the service along, PostgreSQL is named.
            for part in self._parts:
                if (code := part.poll()) is not None:
                    raise StackError(f"{part.name} ended by itself with {describe_end(code)}; the rest is stopped")
            time.sleep(WATCH_SECONDS)

    def hasten(self) -> None:
        for part in self._parts:
            part.hasten()

    def stop(self) -> None:
        """The newest part first, so that the service still has its database while it finishes requests."""
        with ExitStack() as closing:
            closing.callback(self._leave_folder)
            for part in self._parts:
                closing.callback(part.stop)

    def _leave_folder(self) -> None:
        if self._lock.is_held:
            remove_service_env(self.data)
            self._lock.release()
