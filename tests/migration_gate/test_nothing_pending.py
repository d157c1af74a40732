"""An upgrade that finds nothing to apply: status 0 lets a deployment go on, so it has to be earned."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import BOOK, PLAIN_ENV, TITLE_INDEX, Project, runs, succeed, versions


def _drifted(project: Project, database: Database) -> None:
    database.execute("ALTER TABLE book ADD COLUMN isbn text")


def _tampered(project: Project, database: Database) -> None:
    path = project.migrations / "versions" / f"{BOOK}.py"
    path.write_text(path.read_text().replace("title text", "title varchar"))


def _wrong_database(project: Project, database: Database) -> None:
    database.execute("UPDATE migration_gate_ledger SET project = 'the harbour'")
    succeed(project.gate("lock"))


COMMANDS = pytest.mark.parametrize("command", [("alembic", "upgrade", "head"), ("migration_gate", "upgrade")])


@COMMANDS
@pytest.mark.parametrize(
    ("arrange", "state"),
    [(_drifted, "drifted"), (_tampered, "tampered"), (_wrong_database, "wrong_database")],
    ids=["drifted", "tampered", "wrong database"],
)
def test_a_database_that_is_not_what_the_record_says_ends_with_an_error(
    project: Project,
    empty_database: Database,
    arrange: Callable[[Project, Database], None],
    state: str,
    command: tuple[str, ...],
) -> None:
    succeed(project.alembic("upgrade", "head"))
    succeed(_run(project, command))
    arrange(project, empty_database)
    before = runs(empty_database)

    refused = _run(project, command)

    said = refused.stdout + refused.stderr
    assert refused.returncode == (3 if command[0] == "migration_gate" else 255), said
    assert f"Nothing was touched, the schema's state is {state}" in said
    assert "Solution: " in said
    assert "Traceback" not in said
    assert runs(empty_database) == before


@COMMANDS
def test_a_statement_that_the_application_may_not_run_is_told_again_each_time(
    project: Project, empty_database: Database, command: tuple[str, ...]
) -> None:
    succeed(project.alembic("upgrade", "head"))
    with_both_addresses = {"DATABASE_URL": empty_database.app_url}
    succeed(_run(project, command, **with_both_addresses))
    empty_database.execute("REVOKE SELECT ON book FROM taskmanager_app")

    failed = _run(project, command, **with_both_addresses)

    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert "permission denied for table book" in said
    assert "GRANT" in said


@COMMANDS
def test_a_release_that_was_rolled_back_finds_nothing_to_do_on_a_compatible_schema(
    project: Project, empty_database: Database, command: tuple[str, ...]
) -> None:
    newer = project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")
    succeed(project.alembic("upgrade", "head"))
    newer.unlink()
    before = runs(empty_database)

    said = succeed(_run(project, command))

    assert "ahead" in said
    assert versions(empty_database) == ["1111"]
    assert runs(empty_database) == before


def test_a_target_that_does_not_exist_is_an_error_on_a_database_that_is_ahead(project: Project) -> None:
    newer = project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")
    succeed(project.alembic("upgrade", "head"))
    newer.unlink()

    assert project.alembic("upgrade", "4242").returncode != 0


def test_a_release_that_was_rolled_back_is_stopped_where_a_statement_of_it_cannot_run(
    project: Project, empty_database: Database
) -> None:
    newer = project.sql("1111", TITLE_INDEX, "SELECT 1", more="gate_phase = 'expand'")
    succeed(project.alembic("upgrade", "head"))
    newer.unlink()
    empty_database.execute("REVOKE SELECT ON book FROM taskmanager_app")

    failed = project.alembic("upgrade", "head", DATABASE_URL=empty_database.app_url)

    assert failed.returncode != 0
    assert "permission denied for table book" in failed.stdout + failed.stderr


def test_the_gates_own_upgrade_refuses_an_env_py_that_goes_past_the_gate(
    project: Project, empty_database: Database
) -> None:
    project.write_env(PLAIN_ENV)

    told = project.gate("status")
    refused = project.gate("upgrade")
    override = project.gate("ledger", "override", "--for", "1m", "--reason", "none")

    assert told.stdout.startswith("never_migrated: no traffic")
    assert refused.returncode == 3
    assert "Nothing was touched, since env.py does not go through the gate." in refused.stderr
    assert "Solution: let env.py import the models and end in migration_gate.environment.run" in refused.stderr
    assert override.returncode == 3
    assert "env.py does not go through the gate" in override.stderr
    assert empty_database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def _run(project: Project, command: tuple[str, ...], **variables: str) -> subprocess.CompletedProcess[str]:
    return (project.gate if command[0] == "migration_gate" else project.alembic)(*command[1:], **variables)
