"""A PostgreSQL of its own whose pg_hba.conf can be told to admit a role no longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from stack.ports import LOOPBACK
from stack.postgres import Cluster, create_database, temporary_cluster
from stack.process import wait_until
from tests.databases import Database
from tests.processes import run_alembic

NAME = "taskmanager"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class RefusingPostgres:
    """Its migrated database, and what it takes to be refused by it: with SQLSTATE 28000, and one's own IP address."""

    cluster: Cluster
    database: Database

    def admit_no_longer(self, role: str) -> None:
        """Refuse every new connection of the role, and end those that it has."""
        rules = self.cluster.folder / "postgres" / "pg_hba.conf"
        rules.write_text(f"host all {role} {LOOPBACK}/32 reject\n{rules.read_text()}")
        with psycopg.connect(self.database.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_reload_conf()")
            assert wait_until(lambda: self._refuses(role), PATIENCE_S), f"{role} is still admitted"
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))

    def _refuses(self, role: str) -> bool:
        [url] = [url for url in (self.database.app_url, self.database.migrator_url) if f"//{role}:" in url]
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return True
        return False


@contextmanager
def refusing_postgres() -> Iterator[RefusingPostgres]:
    """One that admits both roles as long as it is told nothing else."""
    with temporary_cluster() as cluster:
        made = create_database(cluster, NAME)
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": made.migrator_url})
        database = Database(NAME, cluster.superuser_url(NAME), made.app_url, made.migrator_url)
        yield RefusingPostgres(cluster, database)
