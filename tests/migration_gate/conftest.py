"""What the gate's tests share: a scratch project on a database of the test's own."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.databases import Database, Server
from tests.migration_gate.scratch import Project

# Tests write a migration again within a second, and at the same length: Python would take its cached code for current.
sys.dont_write_bytecode = True


@pytest.fixture
def bare_project(tmp_path: Path, empty_database: Database) -> Project:
    """A project without migrations."""
    return Project(tmp_path / "project", empty_database.migrator_url)


@dataclass(frozen=True)
class ScratchServer:
    """The run's server as a role of this test alone, which may make databases there."""

    url: str
    role: str
    admin_url: str

    def databases(self) -> set[str]:
        """Those that the role has made: other tests make some at the same time."""
        with psycopg.connect(self.admin_url) as admin:
            rows = admin.execute("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [self.role])
            return {str(row[0]) for row in rows}


@pytest.fixture
def scratch_server(server: Server) -> Iterator[ScratchServer]:
    role = f"scratch_{uuid.uuid4().hex[:12]}"
    host = server.admin_url.rpartition("@")[2]
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'scratch'")
    yield ScratchServer(f"postgresql://{role}:scratch@{host}", role, server.admin_url)
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(f"DROP ROLE {role}")


@pytest.fixture
def project(bare_project: Project) -> Project:
    """A project with three migrations, none applied."""
    bare_project.write_history()
    return bare_project
