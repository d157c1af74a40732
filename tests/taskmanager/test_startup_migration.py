"""Migrating as the service starts: it answers meanwhile, and a failure leaves it alive and not ready."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil
import psycopg
import pytest

from tests.databases import Database
from tests.processes import Service, free_port, run_alembic
from tests.taskmanager.observability.scraped import by_label, scraped_until
from tests.taskmanager.observability.test_process_metrics import REFUSED, state_of
from tests.taskmanager.postgres_proxy import PostgresProxy
from tests.taskmanager.problem_documents import problem_of
from tests.taskmanager.served_logs import json_lines

Serve = Callable[..., Service]


def migration_of(service: Service) -> str:
    checks = service.get("/health").json()["checks"]
    return str(checks["schema"]["migration"])


def wait_for_migration(service: Service, progress: str, within_s: float = 30.0) -> None:
    service.wait_for("/livez", 200)
    deadline = time.monotonic() + within_s
    while (now := migration_of(service)) != progress:
        assert time.monotonic() < deadline, f"{now}\n{service.log}"
        time.sleep(0.05)


def children_of(service: Service) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(service.process.pid).children(recursive=True) if "migrate" in child.cmdline()
    ]


def test_an_empty_database_is_migrated_and_served(empty_database: Database, serve: Serve) -> None:
    service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")

    service.wait_for("/tasks", 200)
    wait_for_migration(service, "succeeded")
    assert service.get("/health").json()["status"] == "ok"
    assert service.request("POST", "/tasks", json={"title": "t"}).status_code == 201
    assert children_of(service) == []


def test_a_database_behind_the_code_is_brought_up_to_it(migrated_database: Database, serve: Serve) -> None:
    run_alembic("downgrade", "-2", env={"MIGRATION_DATABASE_URL": migrated_database.migrator_url})
    service = serve(migrated_database, TASKMANAGER_MIGRATE="on_start")

    service.wait_for("/tasks", 200)
    wait_for_migration(service, "succeeded")


def test_a_current_database_is_left_alone(migrated_database: Database, serve: Serve) -> None:
    runs = migrated_database.execute("SELECT count(*) FROM migration_gate_run")
    service = serve(migrated_database, TASKMANAGER_MIGRATE="on_start")

    service.wait_for("/tasks", 200)
    wait_for_migration(service, "not_needed")
    assert migrated_database.execute("SELECT count(*) FROM migration_gate_run") == runs


def test_several_replicas_that_start_at_once_migrate_once(empty_database: Database, serve: Serve) -> None:
    replicas = [serve(empty_database, TASKMANAGER_MIGRATE="on_start") for _ in range(3)]

    for replica in replicas:
        replica.wait_for("/tasks", 200)
    applied = empty_database.execute("SELECT revision FROM migration_gate_revision WHERE action = 'upgrade'")
    assert len(applied) == len(set(applied)) > 1


@pytest.fixture
def refusing_database(empty_database: Database) -> Database:
    """Its migrator may create nothing."""
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO postgres")
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC, taskmanager_migrator")
    return empty_database


def grant_create(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO taskmanager_migrator")


def test_a_migration_that_fails_leaves_a_process_that_lives_tells_and_serves_once_it_is_mended(
    refusing_database: Database, serve: Serve
) -> None:
    service = serve(refusing_database, TASKMANAGER_MIGRATE="on_start")

    wait_for_migration(service, "failed")
    assert service.get("/livez").status_code == 200
    health = service.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "fail")
    assert health.json()["checks"]["schema"]["solution"] == "alembic upgrade head"
    assert 'migration_gate_state{state="never_migrated"} 1.0' in service.get("/metrics").text
    problem_of(service.get("/tasks"), 503, "never_migrated")
    assert "permission denied for schema public" in service.log
    assert "migration failed: this process stays up and not ready" in service.log
    assert service.process.poll() is None

    grant_create(refusing_database)
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": refusing_database.migrator_url})

    assert service.wait_for("/tasks", 200, within_s=5).json() == []
    assert service.get("/health").status_code == 200


def test_a_migration_that_fails_speaks_in_the_form_of_the_log(refusing_database: Database, serve: Serve) -> None:
    service = serve(refusing_database, TASKMANAGER_MIGRATE="on_start", TASKMANAGER_LOG_FORMAT="json")

    wait_for_migration(service, "failed")
    service.stop()
    lines = json_lines(service)
    # The migrating child says why, and the service what becomes of it.
    cause, line = (line for line in lines if line.get("code") == "migration_failed")
    assert line["level"] == cause["level"] == "error"
    assert line["exit_code"] not in {0, 75}
    assert cause["event"].startswith("migration refused: ")
    assert "permission denied for schema public (SQLSTATE 42501)" in cause["event"]


def test_tables_that_nobody_recorded_are_not_migrated_over(empty_database: Database, serve: Serve) -> None:
    empty_database.execute("CREATE TABLE tasks (id int)")
    service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")

    problem = problem_of(service.wait_for("/tasks", 503), 503)
    deadline = time.monotonic() + 10
    while problem["code"] == "unreachable" and time.monotonic() < deadline:
        problem = service.get("/tasks").json()
    assert problem["code"] in {"statement_broken", "unversioned"}
    assert service.get("/livez").status_code == 200
    assert empty_database.execute("SELECT to_regclass('alembic_version')") == [(None,)]

    empty_database.execute("DROP TABLE tasks")
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})
    service.wait_for("/tasks", 200, within_s=10)


def test_a_migration_waits_for_its_database(empty_database: Database, serve: Serve) -> None:
    with PostgresProxy(empty_database) as proxy:
        proxy.cut()
        service = serve(proxy.database, TASKMANAGER_MIGRATE="on_start")
        wait_for_migration(service, "waiting")

        proxy.restore()

        service.wait_for("/tasks", 200)


def test_a_migration_that_cannot_reach_its_database_excuses_nothing_after_a_while(
    empty_database: Database, serve: Serve
) -> None:
    closed = f"postgresql://taskmanager_migrator:s3cret@127.0.0.1:{free_port()}/{empty_database.name}"
    service = serve(empty_database, TASKMANAGER_MIGRATE="on_start", MIGRATION_DATABASE_URL=closed)
    service.wait_for("/tasks", 503)
    scraped_until(service, lambda text: state_of(text) == "migrating")

    text = scraped_until(service, lambda text: state_of(text) != "migrating", within_s=60)

    assert state_of(text) == "not_ready"
    assert 'migration_gate_state{state="never_migrated"} 1.0' in text
    before = by_label(text, REFUSED, "reason")
    problem_of(service.get("/tasks"), 503, "never_migrated")
    after = by_label(service.get("/metrics").text, REFUSED, "reason")
    assert after["schema"] - before["schema"] == 1.0
    assert after["migrating"] == before["migrating"]
    assert migration_of(service) == "held_up"
    cause, _, rest = service.log.partition("no migration has begun for")
    assert "waiting for the database: " in cause
    assert "Connection refused" in cause
    assert "no migration has begun for" not in rest
    assert "s3cret" not in service.log

    # Whoever migrates past it ends the outage, and there is nothing left to try.
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})
    service.wait_for("/tasks", 200)
    assert state_of(service.get("/metrics").text) == "ready"


def until_it_migrates(service: Service, database: Database) -> psutil.Process:
    """The child, once its session waits on the database."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        waiting = database.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting:
            (child,) = children_of(service)
            return child
        time.sleep(0.02)
    raise AssertionError(service.log)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_service_is_the_end_of_its_migration(
    empty_database: Database, serve: Serve, end: signal.Signals
) -> None:
    with psycopg.connect(empty_database.migrator_url) as other:
        # Whoever creates the same table waits for this transaction.
        other.execute("CREATE TABLE tasks (id int)")
        service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")
        child = until_it_migrates(service, empty_database)

        service.stop(end)

        _, alive = psutil.wait_procs([child], timeout=10)
        assert not alive
        other.rollback()
    assert empty_database.execute("SELECT to_regclass('tasks')") == [(None,)]
    if end is signal.SIGTERM:
        assert "service stopped" in service.log
        assert "Traceback" not in service.log


def test_the_service_answers_while_its_migration_waits(empty_database: Database, serve: Serve) -> None:
    with psycopg.connect(empty_database.migrator_url) as other:
        other.execute("CREATE TABLE tasks (id int)")
        service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")
        until_it_migrates(service, empty_database)

        assert migration_of(service) == "running"
        assert service.get("/livez").status_code == 200
        assert service.get("/metrics").status_code == 200
        problem_of(service.get("/tasks"), 503)
        other.rollback()
    service.wait_for("/tasks", 200)


def test_a_migrators_password_is_in_no_command_line(empty_database: Database, serve: Serve) -> None:
    with psycopg.connect(empty_database.migrator_url) as other:
        other.execute("CREATE TABLE tasks (id int)")
        service = serve(empty_database, TASKMANAGER_MIGRATE="on_start")
        child = until_it_migrates(service, empty_database)

        for process in (child, psutil.Process(service.process.pid)):
            assert "postgresql://" not in " ".join(process.cmdline())
        other.rollback()
    service.wait_for("/tasks", 200)
