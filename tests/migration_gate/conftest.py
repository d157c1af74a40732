"""What the gate's tests share: a scratch project on a database of the test's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import Project

# Tests write a migration again within a second, and at the same length: Python would take its cached code for current.
sys.dont_write_bytecode = True


@pytest.fixture
def bare_project(tmp_path: Path, empty_database: Database) -> Project:
    """A project without migrations."""
    return Project(tmp_path / "project", empty_database.migrator_url)


@pytest.fixture
def project(bare_project: Project) -> Project:
    """A project with three migrations, none applied."""
    bare_project.write_history()
    return bare_project
