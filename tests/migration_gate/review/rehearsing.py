"""`migration-gate rehearse` as a process, on a project whose database holds a little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.databases import Database, Server
from tests.migration_gate.scratch import Project, succeed
from tests.processes import run, running

# The verb as the command line has it, whatever other verbs do.
_DRIVER = """\
import argparse, sys
from alembic.config import Config
from migration_gate.review import rehearse_cli
parser = argparse.ArgumentParser()
rehearse_cli.add_parser(parser.add_subparsers(required=True))
options = parser.parse_args(["rehearse", *sys.argv[1:]])
sys.exit(options.run(options, Config("alembic.ini")))
"""

ROWS = 20_000
START = "a1"
_SCHEMA = """
    CREATE TABLE shelf (id bigserial PRIMARY KEY, label text, place int);
    CREATE TABLE book (id bigserial PRIMARY KEY, shelf_id bigint REFERENCES shelf, title text NOT NULL);
"""
SECRET = "a-secret-of-the-source"


@dataclass
class Rehearsed:
    """What a rehearsal printed and exited with."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document

    def statement(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.report["statements"][number - 1]
        assert found["number"] == number
        return found

    @property
    def codes(self) -> set[str]:
        return {breach["code"] for breach in self.report["breaches"]}


class Stage:
    """A project with one revision applied, and the server to rehearse on."""

    def __init__(self, project: Project, database: Database, server: Server) -> None:
        self.project = project
        self.database = database
        self.server = server

    def play(self, schema: str = _SCHEMA) -> None:
        """Apply the first revision."""
        self.project.sql(START, None, schema)
        succeed(self.project.alembic("upgrade", "head"))

    def fill(self) -> None:
        """Give both tables rows, and let the server count them."""
        self.database.execute(
            f"INSERT INTO shelf (label, place) SELECT '{SECRET}', g FROM generate_series(1, {ROWS}) g"
        )
        self.database.execute(f"INSERT INTO book (shelf_id, title) SELECT g, '{SECRET}' FROM generate_series(1, 100) g")
        self.database.execute("ANALYZE shelf, book")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", _DRIVER, "--scratch-url", self.server.admin_url, *arguments]

    def rehearse(self, *arguments: str, as_json: bool = True, **variables: str) -> Rehearsed:
        done = run(
            *self.command(*arguments, *(["--json"] if as_json else [])),
            env=self.project.environment(variables),
            cwd=self.project.folder,
        )
        return Rehearsed(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def rehearsing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A rehearsal as a process, killed at the end."""
        environment = self.project.environment({})
        command = self.command(*arguments)
        with running(*command, env=environment, cwd=self.project.folder, stderr=subprocess.PIPE) as process:
            yield process

    def admin(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.admin_url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        return {row[0] for row in self.admin("SELECT datname::text FROM pg_database")}

    def made_by(self, pid: int) -> str | None:
        """The temporary database of the rehearsal with this process id."""
        rows = self.admin(
            "SELECT datname::text FROM pg_database WHERE datname LIKE 'migration\\_gate\\_rehearsal%'"
            f" AND shobj_description(oid, 'pg_database') LIKE '%, process {pid},%'"
        )
        return rows[0][0] if rows else None

    @contextmanager
    def kept(self, rehearsed: Rehearsed) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session on the temporary database that was kept; it is dropped afterwards."""
        name = rehearsed.report["database"]
        try:
            with psycopg.connect(self.server.admin_url.rsplit("/", 1)[0] + f"/{name}", autocommit=True) as session:
                yield session
        finally:
            self.admin(f"DROP DATABASE {name} WITH (FORCE)")
