"""An outage, a schema that does not fit and a failed migration reach Sentry once each; what is planned does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.databases import Database
from tests.processes import ROOT, Service, run
from tests.taskmanager.observability.capture import Capture
from tests.taskmanager.postgres_proxy import PostgresProxy

Serve = Callable[..., Service]

CANARY = "canary4711"


def test_an_outage_is_one_event_however_many_requests_it_refuses(
    migrated_database: Database, serve: Serve, sentry: Capture
) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database, SENTRY_DSN=sentry.dsn)
        service.wait_for("/tasks", 200)
        proxy.cut()
        for _ in range(20):
            assert service.get(f"/tasks?tag={CANARY}").status_code == 503
        event = sentry.wait_for_event("database_unavailable")
        time.sleep(0.5)
        assert len(sentry.events()) == 1
        assert event["exception"]["values"]
        assert proxy.database.app_url not in sentry.everything

        proxy.restore()
        service.wait_for("/tasks", 200)
        proxy.cut()
        assert service.get("/tasks").status_code == 503
        _, second = sentry.wait_for_events(2)
        assert second["tags"]["code"] == "database_unavailable"


def test_a_dropped_table_is_told_as_the_request_and_as_the_schema_meet_it(
    migrated_database: Database, serve: Serve, sentry: Capture
) -> None:
    service = serve(migrated_database, SENTRY_DSN=sentry.dsn)
    service.wait_for("/tasks", 200)

    migrated_database.execute("DROP TABLE tasks CASCADE")
    service.wait_for("/tasks", 503)
    for _ in range(10):
        service.get(f"/tasks/1?x={CANARY}")
    events = sentry.wait_for_events(2)
    time.sleep(1)

    assert len(sentry.events()) == len(events) == 2
    met = next(event for event in events if "exception" in event)
    judged = next(event for event in events if "logentry" in event)
    assert met["tags"]["code"] == judged["tags"]["code"] == "statement_broken"
    assert met["fingerprint"][:3] == ["asyncpg.exceptions.UndefinedTableError", "42P01", "statement_broken"]
    assert met["exception"]["values"][-1]["value"] == 'relation "tasks" does not exist (SQLSTATE 42P01)'
    assert met["tags"]["http.route"] == "/tasks"
    assert judged["fingerprint"] == ["state", "statement_broken"]


def test_a_schema_that_does_not_fit_at_the_start_is_told_once(
    empty_database: Database, serve: Serve, sentry: Capture
) -> None:
    service = serve(empty_database, SENTRY_DSN=sentry.dsn)
    service.wait_for("/tasks", 503)

    event = sentry.wait_for_event("never_migrated")
    for _ in range(10):
        service.get("/tasks")
    time.sleep(1)
    assert len(sentry.events()) == 1
    assert "alembic upgrade head" in event["logentry"]["formatted"]
    assert event["tags"]["alembic.head"]


def test_a_migration_at_the_start_is_as_planned_and_told_to_nobody(
    empty_database: Database, serve: Serve, sentry: Capture
) -> None:
    service = serve(empty_database, SENTRY_DSN=sentry.dsn, TASKMANAGER_MIGRATE="on_start")
    service.wait_for("/tasks", 200)
    service.stop()

    assert sentry.events() == []


@pytest.fixture
def refusing_database(empty_database: Database) -> Database:
    """Its migrator may create nothing."""
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO postgres")
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC, taskmanager_migrator")
    return empty_database


def test_a_migration_that_fails_is_told_by_the_process_that_migrates(
    refusing_database: Database, serve: Serve, sentry: Capture
) -> None:
    service = serve(refusing_database, SENTRY_DSN=sentry.dsn, TASKMANAGER_MIGRATE="on_start")

    event = sentry.wait_for_event("migration_failed", within_s=30)
    service.wait_for("/tasks", 503)
    time.sleep(0.5)
    assert len(sentry.events()) == 1
    assert event["fingerprint"][:3] == ["migration_gate.errors.StatementRefused", "42501", "migration_failed"]
    values = event["exception"]["values"]
    assert "permission denied for schema public" in values[-1]["value"]
    assert str(urlsplit(refusing_database.migrator_url).password) not in sentry.everything
    assert service.process.poll() is None


def test_the_command_that_migrates_tells_before_it_ends(refusing_database: Database, sentry: Capture) -> None:
    environment = {"DATABASE_URL": refusing_database.app_url, "MIGRATION_DATABASE_URL": refusing_database.migrator_url}

    done = run(sys.executable, "-m", "taskmanager", "migrate", env=environment | {"SENTRY_DSN": sentry.dsn})

    assert done.returncode == 1, done.stderr
    assert [event["tags"]["code"] for event in sentry.events()] == ["migration_failed"]


def test_a_migrator_that_may_try_again_has_not_failed(migrated_database: Database, sentry: Capture) -> None:
    # Waiting for a database that does not come takes half a minute, so what ends that is put in its place.
    command = (
        "import sys; from migration_gate import upgrade; from migration_gate.errors import DatabaseUnreachable\n"
        "from taskmanager.cli import main\n"
        "def away(_): raise DatabaseUnreachable('away', transient='transient' in sys.argv)\n"
        "upgrade.upgrade = away; sys.exit(main(['migrate']))"
    )
    environment = {"DATABASE_URL": migrated_database.app_url, "SENTRY_DSN": sentry.dsn, "PYTHONPATH": str(ROOT)}

    assert run(sys.executable, "-c", command, "transient", env=environment).returncode == 75
    assert sentry.events() == []
    assert run(sys.executable, "-c", command, env=environment).returncode == 69
    assert [event["tags"]["code"] for event in sentry.events()] == ["migration_failed"]
