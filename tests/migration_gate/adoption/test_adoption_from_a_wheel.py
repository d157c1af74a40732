"""The same adopter with the gate from its wheel, in an environment that has no web framework."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.adoption.history import REVISIONS
from tests.migration_gate.scratch import succeed
from tests.migration_gate.test_wheel import PIP, declared, wheel
from tests.processes import run

pytestmark = pytest.mark.timeout(300)

__all__ = ["declared", "wheel"]  # pytest finds fixtures by their names


@pytest.fixture(scope="module")
def python(wheel: Path, declared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, what it declares to need, and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    succeed(run(sys.executable, "-m", "venv", "--without-pip", str(folder)))
    python = folder / "bin" / "python"
    packages = Path(succeed(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")).strip())
    for each in declared.iterdir():
        (packages / each.name).symlink_to(each.resolve())
    succeed(run(*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)))
    return python


def test_the_whole_way_from_a_plain_project_to_a_new_revision(
    python: Path, empty_database: Database, tmp_path: Path
) -> None:
    for framework in ("fastapi", "starlette", "taskmanager", "asyncpg"):
        assert run(str(python), "-c", f"import {framework}", cwd=tmp_path).returncode != 0
    fleet = Fleet(tmp_path / "fleet", empty_database.migrator_url, python, asynchronous=False)
    succeed(fleet.alembic("upgrade", "heads"))
    gate = str(python.with_name("migration-gate"))
    fleet.adopt()

    def status() -> str:
        state: str = json.loads(run(gate, "status", "--json", cwd=fleet.folder).stdout)["state"]
        return state

    assert status() == "current"
    succeed(run(gate, "ledger", "baseline", "--scratch-url", empty_database.admin_url, cwd=fleet.folder))
    rows = empty_database.execute("SELECT count(*) FROM fleet.migration_gate_revision WHERE action = 'baseline'")
    assert rows == [(REVISIONS,)]
    succeed(run(gate, "lock", cwd=fleet.folder))
    succeed(run(gate, "lock", "--check", cwd=fleet.folder))
    table = fleet.history.table("fleet")
    added = fleet.add_revision(
        "colour", f"ALTER TABLE {table} ADD COLUMN colour text", f"ALTER TABLE {table} DROP COLUMN colour"
    )
    assert status() == "behind"
    succeed(run(gate, "lock", cwd=fleet.folder))
    plan = succeed(run(gate, "upgrade", "--dry-run", cwd=fleet.folder))
    assert f"ALTER TABLE {table} ADD COLUMN colour text;" in plan
    succeed(run(gate, "upgrade", cwd=fleet.folder))
    assert status() == "current"
    succeed(run(gate, "wait", "--timeout", "1", cwd=fleet.folder))
    assert added in succeed(run(gate, "ledger", "show", cwd=fleet.folder))
    succeed(fleet.alembic("downgrade", "-1"))
    assert status() == "behind"
    assert run(gate, "rehearse", "--help", cwd=fleet.folder).returncode == 0
    assert run(gate, "compatibility", "--check", cwd=fleet.folder).returncode == 5
