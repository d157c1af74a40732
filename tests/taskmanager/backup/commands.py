"""`taskmanager backup` and its like, on a database of the test and a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.databases import Database
from tests.processes import ROOT
from tests.warm_processes import run_module


@dataclass(frozen=True)
class Commands:
    """The commands with their variables; `scratch` is whether there is a server to try backups on."""

    database: Database
    folder: Path
    scratch: bool = True

    @property
    def variables(self) -> Mapping[str, str]:
        scratch = self.database.admin_url if self.scratch else ""
        return {
            "DATABASE_URL": self.database.app_url,
            "MIGRATION_DATABASE_URL": self.database.migrator_url,
            "TASKMANAGER_BACKUP_FOLDER": str(self.folder),
            "TASKMANAGER_BACKUP_SCRATCH_URL": scratch,
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_module("taskmanager", *arguments, env={**self.variables, **variables}, cwd=ROOT)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The real thing, as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "taskmanager", *arguments],
            env={**os.environ, **self.variables, **variables},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str, status: int = 0, **variables: str) -> Any:
        done = self.run(*arguments, "--json", **variables)
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout)

    def backup(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """A verified backup's manifest."""
        made: dict[str, Any] = self.json("backup", *arguments, **variables)
        assert made["verification"]["outcome"] == "verified"
        return made

    @property
    def names(self) -> list[str]:
        """What is in the folder under a name that a backup has."""
        return sorted(path.name for path in self.folder.glob("*") if not path.name.startswith("."))

    @property
    def left_over(self) -> list[str]:
        """What is in the folder beside backups and the lock."""
        return sorted(path.name for path in self.folder.glob(".*") if path.name.startswith((".partial", ".deleted")))


def some_tasks(database: Database, count: int = 50) -> None:
    """Tasks with what text can hold, and keys that two servers would sort differently."""
    database.execute(
        "INSERT INTO tasks (title, description, tags)"
        " SELECT 'Tâche ' || i, E'a\\tb\\\\n\\nc ' || i, ARRAY['été', 'x' || i] FROM generate_series(1, %s) i",
        count,
    )
    keys = ["b", "B", "a", "A", "é", "-x", "_y"]
    for key in keys:
        database.execute(
            "INSERT INTO idempotency_keys (key, request_hash, task_id, created_at) VALUES (%s, %s, 1, now())",
            key,
            b"\x00\xff" * 16,
        )
