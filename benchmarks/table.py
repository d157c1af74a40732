"""The one table: made by this project's migrations, filled once, and copied for each contestant.

A copy is the same pages, so that everybody starts on the same table whatever was written before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.failures import BenchmarkError
from stack.postgres import Cluster, create_database, drop_database, temporary_cluster
from stack.postgres import Database as Roles

ROOT = Path(__file__).resolve().parent.parent

# `temporary_cluster` is made for tests and trades durability for speed; writes are to cost here what they cost.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
TOLD_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections")

_WORDS = (
    "call the supplier about the late delivery and write down what was agreed before the weekly meeting starts; "
    "then tidy the notes, send them around, order two boxes of paper, renew the licence of the editor, ask who is on "
    "call next week, and move the appointment with the auditor if the figures of the last quarter are not complete"
)

# Whole seconds would hide what a contestant does to fractions; JavaScript's dates end at milliseconds.
_FILL = """
INSERT INTO tasks (title, description, status, priority, due_at, tags, created_at, updated_at, completed_at)
SELECT 'Task ' || n || ': ' || substr(words, 1 + (n * 37 %% 250)::int, 10 + (n * 11 %% 50)::int),
       substr(words, 1 + (n * 53 %% 150)::int, 20 + (n * 29 %% 130)::int),
       status, 1 + n / 7 %% 3,
       CASE WHEN n %% 4 <> 0 THEN created + n * 7919 %% 500000 * interval '1 minute' END,
       CASE WHEN n %% 3 = 0 THEN ARRAY['tag' || n %% 40, 'area' || n %% 7] ELSE '{}' END,
       created, changed, CASE WHEN status = 'done' THEN changed END
FROM generate_series(1, %(rows)s::bigint) AS n, (SELECT %(words)s::text AS words) AS text,
     LATERAL (SELECT timestamptz '2025-01-01T00:00:00.123Z' + n * interval '1.001 s' AS created,
                     (ARRAY['todo', 'todo', 'in_progress', 'done', 'todo'])[1 + n %% 5] AS status) AS a,
     LATERAL (SELECT created + n * 104729 %% 900000 * interval '1 s' AS changed) AS b
ORDER BY n
"""


@dataclass(frozen=True)
class Database:
    """A database of the benchmark's server, and how each role reaches it."""

    name: str
    app_url: str
    migrator_url: str
    admin_url: str

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        """A connection of the superuser, every statement its own transaction."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            yield connection


@contextmanager
def server() -> Iterator[Cluster]:
    """A PostgreSQL of this run alone, as durable as one in production."""
    with temporary_cluster(settings=DURABLE) as cluster:
        yield cluster


def told_settings(cluster: Cluster) -> dict[str, str]:
    """The server's settings that matter for these figures, as it tells them."""
    with psycopg.connect(cluster.superuser_url()) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [list(TOLD_SETTINGS)]
        )
        return {str(name): str(value) for name, value in rows}


def make_template(cluster: Cluster, name: str, rows: int) -> None:
    """A database at the code's heads with `rows` tasks, to be copied by `copy_of`."""
    database = _described(cluster, create_database(cluster, name))
    migrate(database)
    fill(database, rows)


def migrate(database: Database, folder: Path = ROOT, python: Path | str = sys.executable) -> None:
    """Run `alembic upgrade head` of the project in `folder`. Raises BenchmarkError."""
    command = [python, "-m", "alembic", "upgrade", "head"]
    variables = {
        "DATABASE_URL": database.app_url,
        "MIGRATION_DATABASE_URL": database.migrator_url,
        "TASKMANAGER_ENV_FILE": "",
        "POOL_SIZE": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"alembic upgrade head failed in {folder}:\n{done.stdout}{done.stderr}")


def fill(database: Database, rows: int) -> None:
    """Insert the tasks 1 to `rows`, the same for everybody."""
    with psycopg.connect(database.migrator_url, autocommit=True) as connection:
        # Indexes built over a full table take a tenth of the time, and come out the same.
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        connection.execute(_FILL, {"rows": rows, "words": _WORDS})
        connection.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM (FREEZE, ANALYZE) tasks")


@contextmanager
def copy_of(cluster: Cluster, template: str, name: str) -> Iterator[Database]:
    """A copy that is dropped afterwards, its pages in PostgreSQL's memory and written out."""
    database = _described(cluster, create_database(cluster, name, template))
    try:
        settle(database)
        yield database
    finally:
        drop_database(cluster, name)


def empty(cluster: Cluster, name: str) -> Database:
    """A new database with the two roles and nothing in it."""
    return _described(cluster, create_database(cluster, name))


def settle(database: Database) -> None:
    """Let nothing of what was done before be written out while somebody is measured."""
    with database.admin() as connection:
        connection.execute("CHECKPOINT")


def _described(cluster: Cluster, roles: Roles) -> Database:
    return Database(roles.name, roles.app_url, roles.migrator_url, cluster.superuser_url(roles.name))
