"""A project of three hundred revisions takes up the gate with the lines that are asked for, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest

from migration_gate.tables import LEDGER_TABLES
from tests.databases import EMPTY_TEMPLATE, Database, Server
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.adoption.history import CORE_REVISIONS, REVISIONS
from tests.migration_gate.scratch import succeed, until
from tests.processes import ROOT, Service

pytestmark = pytest.mark.timeout(300)


def _versions(database: Database) -> list[str]:
    return sorted(str(row[0]) for row in database.execute("SELECT version_num FROM fleet.schema_history"))


def _tables(database: Database) -> set[str]:
    return {str(row[0]) for row in database.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'fleet'")}


def test_the_gate_is_taken_up_by_the_lines_that_are_promised(original: tuple[Fleet, Database]) -> None:
    fleet, _ = original
    before = {path: path.read_text().splitlines() for path in fleet.folder.rglob("*.*") if path.is_file()}
    assert not any("gate" in line for lines in before.values() for line in lines)

    fleet.adopt()

    env = (fleet.database / "env.py").read_text()
    assert env.count("from migration_gate.environment import run\n") == env.count("\nrun(\n    Base.metadata,\n") == 1
    service = fleet.service.read_text().splitlines()
    assert [line for line in service if line not in before[fleet.service]] == [
        "from migration_gate import SchemaGate",
        'app.add_middleware(SchemaGate, config="alembic.ini")',
    ]
    changed = {path for path, lines in before.items() if path.read_text().splitlines() != lines}
    assert changed == {fleet.database / "env.py", fleet.service}


def test_before_any_ledger_questions_are_answered_and_nothing_is_made(original: tuple[Fleet, Database]) -> None:
    fleet, database = original
    before = _tables(database)
    fleet.adopt()

    assert succeed(fleet.gate("status")).startswith("current: traffic may flow")
    assert f"{fleet.history.head} (head)" in succeed(fleet.alembic("current"))
    assert "No new upgrade operations" in succeed(fleet.alembic("check"))
    assert fleet.gate("status", "--json").returncode == 0
    assert _tables(database) == before
    assert not fleet.lock.exists()


def test_baseline_compares_every_schema_of_the_models_and_takes_the_whole_history_in(
    adopted: tuple[Fleet, Database],
) -> None:
    fleet, database = adopted
    rows = database.execute("SELECT count(*), min(action), max(action) FROM fleet.migration_gate_revision")
    assert rows == [(REVISIONS, "baseline", "baseline")]
    assert fleet.status()["state"] == "current"

    database.execute(f"ALTER TABLE {fleet.history.table('telemetry')} ADD COLUMN by_hand text")

    assert fleet.status()["state"] == "drifted"
    edited = next(path for path in fleet.files if "_create_" in path.name)
    edited.write_text(edited.read_text().replace("50% of", "51% of"))
    told = fleet.gate("status").stdout
    assert told.startswith("tampered: traffic may flow")
    assert "also drifted:\n  since the last run: column telemetry." in told


def test_baseline_refuses_a_database_whose_second_schema_is_something_else(original: tuple[Fleet, Database]) -> None:
    fleet, database = original
    fleet.adopt()
    database.execute(f"ALTER TABLE {fleet.history.table('telemetry')} ADD COLUMN by_hand text")

    refused = fleet.gate("ledger", "baseline", "--scratch-url", database.admin_url)

    assert refused.returncode == 3
    assert "by_hand was added: text" in refused.stderr
    assert not LEDGER_TABLES & _tables(database)


def test_no_ledger_is_begun_before_env_py_goes_through_the_gate(original: tuple[Fleet, Database]) -> None:
    fleet, database = original
    before = _tables(database)

    refused = fleet.gate("ledger", "baseline", "--scratch-url", database.admin_url)

    assert refused.returncode == 3
    assert "env.py does not go through the gate" in refused.stderr
    assert _tables(database) == before


def test_baseline_of_branches_that_are_not_merged_yet_keeps_the_place_on_each(
    server: Server, tmp_path: Path, template: tuple[Fleet, Database]
) -> None:
    history = template[0].history
    core = history.revisions[CORE_REVISIONS - 30].id
    telemetry = history.revisions[CORE_REVISIONS + 30].id
    with server.database(EMPTY_TEMPLATE) as database:
        fleet = template[0].copy(tmp_path / "fleet", database.migrator_url)
        succeed(fleet.alembic("upgrade", core))
        succeed(fleet.alembic("upgrade", telemetry))
        assert _versions(database) == sorted([core, telemetry])
        fleet.adopt()

        told = succeed(fleet.gate("ledger", "baseline", "--scratch-url", database.admin_url))

        assert ",".join(sorted([core, telemetry])) in told
        assert _versions(database) == sorted([core, telemetry])
        assert fleet.status()["state"] == "behind"
        succeed(fleet.gate("upgrade"))
        assert _versions(database) == [history.head]


def test_new_revisions_come_and_go_and_autogenerate_knows_nothing_of_the_gate(
    adopted: tuple[Fleet, Database],
) -> None:
    fleet, database = adopted
    head = fleet.history.head
    added = fleet.add_colour()

    assert (fleet.status()["state"], fleet.status()["missing"]) == ("behind", [added])
    succeed(fleet.alembic("upgrade", "head"))
    assert _versions(database) == [added]
    assert fleet.status()["state"] == "current"
    newest = succeed(fleet.alembic("history")).splitlines()[0]
    assert newest.startswith(f"{head} -> {added} (")
    assert newest.endswith(" (head), colour")
    assert succeed(fleet.alembic("heads")).startswith(f"{added} (")
    red = fleet.alembic("check")
    assert red.returncode != 0
    assert "colour" in red.stdout + red.stderr
    assert "migration_gate" not in red.stdout + red.stderr
    succeed(fleet.alembic("downgrade", "-1"))
    assert _versions(database) == [head]
    succeed(fleet.gate("upgrade"))
    assert fleet.status()["state"] == "current"


def test_autogenerate_writes_what_the_models_changed_and_nothing_else(adopted: tuple[Fleet, Database]) -> None:
    fleet, _ = adopted
    before = fleet.files
    arguments = ("revision", "--autogenerate", "-m", "found", "--version-path", str(fleet.database / "core"))

    succeed(fleet.alembic(*arguments))
    assert fleet.files == before

    text = fleet.models.read_text()
    first = text.index("    name = sa.Column")
    fleet.models.write_text(text[:first] + "    weight = sa.Column(sa.Integer)\n" + text[first:])
    succeed(fleet.alembic(*arguments))

    (made,) = fleet.files - before
    operations = [line.strip() for line in made.read_text().splitlines() if "op." in line]
    assert len(operations) == 2, operations
    assert "sa.Column('weight', sa.Integer()" in operations[0]
    succeed(fleet.gate("upgrade"))
    assert "No new upgrade operations" in succeed(fleet.alembic("check"))


def test_two_heads_are_told_and_merged_and_a_stamp_is_noted(adopted: tuple[Fleet, Database]) -> None:
    fleet, database = adopted
    head = fleet.history.head
    one = fleet.add_colour()
    other = fleet.add_colour("--head", head, "--splice", schema="telemetry")
    findings = fleet.status()["findings"]
    assert isinstance(findings, list)
    assert {finding["state"] for finding in findings} == {"behind", "multiple_heads"}
    assert fleet.gate("upgrade").returncode == 3

    succeed(fleet.alembic("merge", "heads", "-m", "both colours", "--rev-id", "both"))
    succeed(fleet.gate("upgrade"))
    assert _versions(database) == ["both"]

    succeed(fleet.alembic("stamp", one, "--purge"))
    assert _versions(database) == [one]
    actions = database.execute("SELECT DISTINCT action FROM fleet.migration_gate_revision ORDER BY 1")
    assert {"baseline", "upgrade", "stamp"} <= {str(row[0]) for row in actions}
    assert other in str(fleet.status()["missing"])


def test_a_new_database_is_made_from_nothing_with_the_schema_of_its_version_table(
    taken_in: tuple[Fleet, Database], server: Server, tmp_path: Path
) -> None:
    with server.database(EMPTY_TEMPLATE) as database:
        fleet = taken_in[0].copy(tmp_path / "fleet", database.migrator_url)

        first = fleet.history.revisions[0].id
        told = fleet.gate("status").stdout
        assert told.startswith("never_migrated: no traffic")
        assert f"not applied: {REVISIONS} revisions, from {first} to {fleet.history.head}\n" in told
        assert succeed(fleet.gate("upgrade")).count("Running upgrade") == REVISIONS

        assert _versions(database) == [fleet.history.head]
        assert fleet.status()["state"] == "current"


def test_the_application_refuses_and_serves_by_the_state_without_a_restart(
    adopted: tuple[Fleet, Database], tmp_path: Path
) -> None:
    fleet, database = adopted
    command = (sys.executable, "-m", "uvicorn", "service:app", "--port", "{port}")

    def serve() -> Service:
        return Service({"PYTHONPATH": str(ROOT)}, tmp_path, command=command, cwd=fleet.folder)

    with serve() as service:
        assert service.wait_for("/vehicles", 200, within_s=60).text == "vehicles"
    added = fleet.add_colour()
    with serve() as service:
        refusal = service.wait_for("/vehicles", 503, within_s=60).json()
        assert (refusal["code"], refusal["code_heads"]) == ("behind", [added])
        succeed(fleet.gate("upgrade"))
        service.wait_for("/vehicles", 200)
    # The release is rolled back: its file is gone, and the database is ahead.
    (gone,) = (path for path in fleet.files if path.name.startswith(added))
    gone.unlink()
    with serve() as service:
        service.wait_for("/vehicles", 200, within_s=60)
        assert fleet.status()["state"] == "ahead_compatible"
        with psycopg.connect(database.migrator_url, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE {fleet.history.table('fleet')} DROP COLUMN name")
        until(lambda: service.get("/vehicles").status_code == 503)


def test_what_the_gate_warns_of_is_heard_although_the_projects_logging_silences_whom_it_does_not_name(
    adopted: tuple[Fleet, Database],
) -> None:
    fleet, database = adopted
    fleet.add_colour()

    with psycopg.connect(database.migrator_url) as reader:
        reader.execute(f"SELECT count(*) FROM {fleet.history.table('fleet')}")
        with fleet.running("alembic", "upgrade", "head") as upgrading:
            assert upgrading.stdout is not None
            said = iter(upgrading.stdout.readline, "")
            assert any("a table is locked by another session" in line for line in said)
            reader.rollback()
            assert upgrading.wait(timeout=120) == 0
