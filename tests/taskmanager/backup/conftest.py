"""A migrated database with tasks in it, and the commands that back it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import Database
from tests.taskmanager.backup.commands import Commands, some_tasks


@pytest.fixture
def commands(migrated_database: Database, tmp_path: Path) -> Commands:
    some_tasks(migrated_database)
    return Commands(migrated_database, tmp_path / "backups")
