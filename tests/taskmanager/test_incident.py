"""The incident of this project's story: code deployed without its migrations."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from tests.databases import Database
from tests.processes import Service, run_alembic

Serve = Callable[..., Service]


def test_with_the_gate_off_the_incident_happens_as_in_life(empty_database: Database, serve: Serve) -> None:
    service = serve(empty_database, TASKMANAGER_SCHEMA_GATE="off")

    assert service.wait_for("/health", 200).json()["status"] == "ok"
    response = service.get("/tasks")

    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "tasks" not in response.json()["detail"]
    cause = 'asyncpg.exceptions.UndefinedTableError: relation "tasks" does not exist (SQLSTATE 42P01)'
    assert cause in service.log.splitlines()
    assert service.get("/health").status_code == 200


def test_with_the_gate_on_the_incident_cannot_happen(empty_database: Database, serve: Serve) -> None:
    service = serve(empty_database)

    refusal = service.wait_for("/tasks", 503)
    problem = refusal.json()
    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.headers["retry-after"] == "2"
    assert problem["code"] == "never_migrated"
    assert problem["database_revisions"] == []
    assert problem["code_heads"][0] in problem["detail"]
    assert "alembic upgrade head" in problem["detail"]
    assert service.get("/health").status_code == 503
    assert service.get("/readyz").status_code == 503
    assert service.get("/livez").status_code == 200
    assert service.get("/metrics").status_code == 200
    assert 'migration_gate_state{state="never_migrated"} 1.0' in service.get("/metrics").text

    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})
    assert service.wait_for("/tasks", 200, within_s=2).json() == []
    assert service.get("/health").json()["checks"]["schema"]["state"] == "current"
    assert "500" not in service.get("/metrics").text.split("http_requests_total", 1)[1].split("# HELP", 1)[0]


def test_with_the_gate_warning_traffic_flows_and_health_carries_the_warning(
    empty_database: Database, serve: Serve
) -> None:
    service = serve(empty_database, TASKMANAGER_SCHEMA_GATE="warn")

    service.wait_for("/readyz", 200)
    health = service.get("/health")
    assert health.status_code == 200
    assert health.json()["status"] == "warn"
    assert health.json()["checks"]["schema"]["state"] == "never_migrated"
    assert health.json()["checks"]["schema"]["solution"] == "alembic upgrade head"
    assert service.get("/tasks").status_code == 500


def test_a_downgrade_under_a_running_service_closes_the_gate_again(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    run_alembic("downgrade", "-1", env={"MIGRATION_DATABASE_URL": migrated_database.migrator_url})

    problem = service.wait_for("/tasks", 503, within_s=5).json()
    assert problem["code"] == "behind"
    assert problem["database_revisions"] != problem["code_heads"]


def test_a_revision_that_was_stamped_and_never_run_gets_no_traffic(empty_database: Database, serve: Serve) -> None:
    run_alembic("stamp", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})
    service = serve(empty_database)

    while (problem := service.wait_for("/tasks", 503).json())["code"] == "unreachable":
        time.sleep(0.02)
    assert problem["code"] == "statement_broken"
    assert 'relation "tasks" does not exist' in service.log


def test_a_table_that_is_dropped_under_traffic_makes_no_request_fail_with_500(
    migrated_database: Database, serve: Serve
) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    migrated_database.execute("DROP TABLE tasks")
    answers = [service.get("/tasks").json()["code"] for _ in range(20)]

    assert set(answers) == {"statement_broken"}
    assert "500" not in service.get("/metrics").text.split("http_requests_total", 1)[1].split("# HELP", 1)[0]
    service.wait_for("/readyz", 503, within_s=5)


def test_a_lock_that_outlasts_a_proof_does_not_take_the_service_out_of_rotation(
    migrated_database: Database, serve: Serve
) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    with psycopg.connect(migrated_database.migrator_url) as locking:
        locking.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        # Longer than the pause between two proofs of the statements.
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            assert service.get("/readyz").status_code == 200
            time.sleep(0.1)


def test_a_database_that_holds_only_the_tables_of_others_says_so(empty_database: Database, serve: Serve) -> None:
    empty_database.execute("CREATE TABLE of_others (id int)")
    service = serve(empty_database)

    while (problem := service.wait_for("/tasks", 503).json())["code"] == "unreachable":
        time.sleep(0.02)

    assert problem["code"] == "unversioned"
    assert "alembic stamp base" in problem["solution"]
