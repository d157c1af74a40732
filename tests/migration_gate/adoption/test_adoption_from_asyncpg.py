"""From an asynchronous env.py on asyncpg, of Alembic's `async` template, to the gate, and what of it may stay."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.scratch import succeed
from tests.processes import ROOT, Service

pytestmark = pytest.mark.timeout(300)


def _versions(database: Database) -> list[tuple[object, ...]]:
    return database.execute("SELECT version_num::text FROM fleet.schema_history")


@pytest.mark.parametrize("baseline", [True, False], ids=["with a baseline", "without"])
def test_the_two_lines_alone_take_the_gate_up_and_the_next_revision_is_applied_and_served(
    original: tuple[Fleet, Database], tmp_path: Path, baseline: bool
) -> None:
    fleet, database = original
    assert "asyncio.run(" in (fleet.database / "env.py").read_text()
    assert _versions(database) == [(fleet.history.head,)]

    fleet.adopt()
    if baseline:
        succeed(fleet.gate("ledger", "baseline", "--scratch-url", database.admin_url))

    assert "postgresql+asyncpg://" in (fleet.folder / "alembic.ini").read_text()
    assert fleet.status()["state"] == "current"
    added = fleet.add_colour()
    command = (sys.executable, "-m", "uvicorn", "service:app", "--port", "{port}")
    with Service({"PYTHONPATH": str(ROOT)}, tmp_path, command=command, cwd=fleet.folder) as service:
        assert service.wait_for("/vehicles", 503, within_s=60).json()["code_heads"] == [added]
        succeed(fleet.alembic("upgrade", "head"))
        assert service.wait_for("/vehicles", 200).text == "vehicles"
    assert _versions(database) == [(added,)]
    assert fleet.status()["state"] == "current"
    ((ledger,),) = database.execute("SELECT count(*) FROM fleet.migration_gate_revision WHERE action = 'upgrade'")
    assert ledger == 1


def test_before_the_two_lines_the_commands_that_only_look_answer_and_the_one_that_writes_says_what_to_do(
    original: tuple[Fleet, Database],
) -> None:
    fleet, database = original
    assert fleet.status()["state"] == "current"
    assert fleet.history.head in succeed(fleet.gate("describe"))
    added = fleet.add_colour()
    succeed(fleet.gate("lock"))

    dry = fleet.gate("upgrade", "--dry-run")
    linted = fleet.gate("lint", "--all")
    refused = fleet.gate("upgrade")

    assert fleet.status()["missing"] == [added]
    assert "ADD COLUMN colour text;" in dry.stdout
    assert dry.returncode == refused.returncode == 3
    for said in (dry.stdout, refused.stderr):
        assert "env.py does not go through the gate." in said
        assert "no engine, no asyncio.run and no run_sync" in said
    assert linted.returncode in {0, 5}, linted.stderr
    assert "env.py does not go through migration_gate.environment.run" in linted.stdout
    assert _versions(database) == [(fleet.history.head,)]
