"""What a standby is not used for: docs/scaling.md says it of the operator's read-only Service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migration_gate.start import TRY_AGAIN
from migration_gate.watch import NOT_CHECKED
from tests.kubernetes.standby import Followed, followed
from tests.processes import Service, run_alembic
from tests.warm_processes import run_module


@pytest.fixture(scope="module")
def database() -> Iterator[Followed]:
    with followed() as found:
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": found.primary.migrator_url})
        found.caught_up()
        yield found


def test_a_pod_whose_address_leads_to_a_standby_is_never_ready(database: Followed, tmp_path: Path) -> None:
    """Half of the requests would fail there; and after a failover the old primary is such a server."""
    with Service({"DATABASE_URL": database.standby_url}, tmp_path) as service:
        service.wait_for("/livez", 200)
        health = service.wait_for("/readyz", 503).json()
        while health["checks"]["database"].get("detail", NOT_CHECKED) == NOT_CHECKED:
            health = service.wait_for("/readyz", 503).json()

        assert health["checks"]["database"]["detail"] == "the server is a standby, which takes no writes"
        assert service.get("/tasks").status_code == 503
        assert service.get("/livez").status_code == 200


def test_migrating_on_a_standby_is_tried_again_and_not_done(database: Followed, tmp_path: Path) -> None:
    """The job of the base tries again after this status: a failover ends."""
    addresses = {"DATABASE_URL": database.standby_url, "MIGRATION_DATABASE_URL": database.standby_migrator_url}

    done = run_module("taskmanager", "migrate", env=addresses | {"TASKMANAGER_ENV_FILE": ""}, cwd=tmp_path)

    assert done.returncode == TRY_AGAIN
    assert "the server is a standby, which takes no writes" in done.stdout + done.stderr


def test_who_only_reads_finds_on_the_standby_what_was_written(database: Followed) -> None:
    with psycopg.connect(database.primary.app_url, autocommit=True) as connection:
        connection.execute("INSERT INTO tasks (title) VALUES ('read me there')")
    database.caught_up()

    with psycopg.connect(database.standby_url, autocommit=True) as connection:
        assert connection.execute("SELECT title FROM tasks").fetchall() == [("read me there",)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO tasks (title) VALUES ('not here')")
