"""Upgrading and asking from within a process, as a service or a script does."""

from __future__ import annotations

import sys

import psycopg
import pytest

from migration_gate import lock
from migration_gate.errors import DatabaseUnreachable, MigrationGateError, UpgradeRefused
from migration_gate.states import State
from migration_gate.upgrade import schema_status, upgrade
from tests.databases import Database
from tests.migration_gate.scratch import HISTORY, Project, applied, tables


@pytest.fixture
def here(project: Project, empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The scratch project, its database named to this very process."""
    monkeypatch.setenv("MIGRATION_DATABASE_URL", empty_database.migrator_url)
    # Alembic puts the project on sys.path for good, and with it the models of another test.
    monkeypatch.syspath_prepend(str(project.folder))
    monkeypatch.delitem(sys.modules, "models", raising=False)
    return project


def test_an_upgrade_returns_the_verdict_of_a_new_connection(here: Project, empty_database: Database) -> None:
    assert schema_status(here.config).state is State.NEVER_MIGRATED
    assert tables(empty_database) == set()

    status = upgrade(here.config)

    assert status.state is State.CURRENT
    assert [row[0] for row in applied(empty_database)] == list(HISTORY)


def test_a_refusal_reaches_the_caller_as_the_gates_own_error(here: Project, empty_database: Database) -> None:
    empty_database.execute("CREATE TABLE others (id int)")

    with pytest.raises(UpgradeRefused) as error:
        upgrade(here.config)

    assert error.value.exit_code == 3
    assert "alembic stamp" in error.value.solution


def test_asking_does_not_wait_for_the_migration_lock(here: Project, empty_database: Database) -> None:
    with psycopg.connect(empty_database.migrator_url, autocommit=True) as migrating:
        migrating.execute("SELECT pg_advisory_lock(%s)", [lock.lock_key("public", "alembic_version")])

        assert schema_status(here.config).state is State.NEVER_MIGRATED


def test_an_unknown_database_is_an_error_that_no_waiting_mends(
    here: Project, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", empty_database.migrator_url + "_of_others")

    with pytest.raises(DatabaseUnreachable) as error:
        schema_status(here.config)

    assert not error.value.transient
    assert error.value.exit_code == 69
    assert empty_database.migrator_url not in str(error.value)


def test_every_error_says_its_solution_below_its_message() -> None:
    assert str(MigrationGateError("It broke.", solution="mend it")) == "It broke.\n  Solution: mend it"
    assert str(MigrationGateError("It broke.")) == "It broke."
