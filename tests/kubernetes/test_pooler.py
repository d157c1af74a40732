"""Why no pooler stands between the pods and PostgreSQL: the service tells it before any request is served."""

from __future__ import annotations

from pathlib import Path

from tests.databases import Database
from tests.migration_gate.poolers import pooler
from tests.processes import Service


def test_a_pooler_that_refuses_the_sessions_settings_leaves_the_pod_unready(
    migrated_database: Database, tmp_path: Path
) -> None:
    """Its timeouts are settings of the session, and PgBouncer refuses what it cannot keep for each client."""
    with (
        pooler(migrated_database, "transaction", size=5) as pooled,
        Service({"DATABASE_URL": pooled.app_url}, tmp_path) as service,
    ):
        service.wait_for("/livez", 200)
        refused = service.wait_for("/readyz", 503).json()
        while refused["checks"]["database"].get("detail") is None:
            refused = service.wait_for("/readyz", 503).json()

        assert service.get("/livez").status_code == 200
        assert service.get("/tasks").status_code == 503

    assert "08P01" in refused["checks"]["database"]["detail"]
