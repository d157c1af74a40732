"""The PostgreSQL of the rounds: one server that may be stopped, and a copy of a migrated database for each round."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stack.errors import StackError
from stack.postgres import Cluster, temporary_cluster
from stack.postgres.roles import create_database
from tests.databases import EMPTY_TEMPLATE, MIGRATED_TEMPLATE, Server
from tests.processes import run_alembic

# So few that a test can use them up, and enough for two replicas.
MAX_CONNECTIONS = 60


@dataclass(frozen=True)
class Laboratory:
    """The server, and its databases by template."""

    cluster: Cluster
    server: Server

    def stop(self) -> None:
        """Stop PostgreSQL as an operator would; its sessions end at once."""
        self.cluster.stop()

    def kill(self) -> None:
        """Kill the postmaster; its children notice and end."""
        os.kill(self.cluster.pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it again, whatever ended it."""
        try:
            running = self.cluster.poll() is None and self.cluster.pid > 0
        except StackError:
            running = False
        if not running:
            self.cluster.stop()
            self.cluster.start()


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """A PostgreSQL of its own with the two templates, gone afterwards."""
    with temporary_cluster(settings={"max_connections": str(MAX_CONNECTIONS)}) as cluster:
        migrated = create_database(cluster, MIGRATED_TEMPLATE)
        create_database(cluster, EMPTY_TEMPLATE)
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": migrated.migrator_url})
        server = Server(
            admin_url=cluster.superuser_url("postgres"),
            app_url=migrated.app_url.removesuffix(MIGRATED_TEMPLATE),
            migrator_url=migrated.migrator_url.removesuffix(MIGRATED_TEMPLATE),
        )
        yield Laboratory(cluster, server)


def end_in_order_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what it has started is ended too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
