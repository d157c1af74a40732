"""Through PgBouncer: refused where no lock holds, and nothing left behind in sessions that belong to others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import Database
from tests.migration_gate.poolers import pooler
from tests.migration_gate.races.traffic import Traffic
from tests.migration_gate.scratch import HISTORY, Project, applied, succeed, tables, versions

pytestmark = pytest.mark.timeout(300)

# More than psycopg runs before it prepares a statement on the server by itself.
MANY = 8

_MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
for number in range({many}):
    sa.Table(f"shelf_{{number}}", metadata, sa.Column("id", sa.BigInteger), sa.Column("label", sa.Text))
"""

_SETTINGS = (
    "lock_timeout",
    "statement_timeout",
    "client_connection_check_interval",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
)


@pytest.fixture
def shelves(bare_project: Project) -> Project:
    """A project with many tables, none made yet."""
    (bare_project.folder / "models.py").write_text(_MODELS.format(many=MANY))
    create = "; ".join(f"CREATE TABLE shelf_{number} (id bigint, label text)" for number in range(MANY))
    bare_project.sql("f00d", None, create)
    return bare_project


def _left_in_session(url: str, database: Database) -> dict[str, object]:
    """What the one session of a pool holds that a new one does not."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        untouched = _settings(connection)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        prepared = connection.execute("SELECT name, statement FROM pg_prepared_statements").fetchall()
        here = _settings(connection)
    left: dict[str, object] = {"prepared": prepared} if prepared else {}
    return left | dict(here - untouched)


def _settings(connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    # Whatever is the gate's own, and what it is known to set elsewhere.
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) OR name LIKE 'migration%%'", (list(_SETTINGS),)
    )
    return set(rows.fetchall())


def _advisory_locks(database: Database) -> int:
    rows = database.execute(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND l.locktype = 'advisory'"
    )
    return int(str(rows[0][0]))


def _run(project: Project, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    if command == "alembic upgrade head":
        return project.alembic("upgrade", "head", **variables)
    return project.gate(*command.split()[1:], **variables)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
@pytest.mark.parametrize("command", ["alembic upgrade head", "migration-gate upgrade"])
def test_a_transaction_pooler_is_refused_with_the_way_round_it(
    project: Project, empty_database: Database, command: str, variable: str
) -> None:
    with pooler(empty_database, "transaction") as pooled:
        refused = _run(project, command, **({"MIGRATION_DATABASE_URL": ""} | {variable: pooled.migrator_url}))

        assert refused.returncode == (75 if command.startswith("migration") else 255), refused.stderr
        said = refused.stdout + refused.stderr
        assert "connection pooler in transaction mode" in said
        assert "set MIGRATION_DATABASE_URL to PostgreSQL's own address" in said
        assert _advisory_locks(empty_database) == 0
        assert tables(empty_database) == set()
        assert _left_in_session(pooled.migrator_url, empty_database) == {}


def _briefly(connection: psycopg.Connection[Any], number: int) -> object:
    return connection.execute("SELECT pg_sleep(0.002)")


@pytest.mark.parametrize("size", [2, 20])
def test_a_busy_transaction_pooler_is_refused_as_well(project: Project, empty_database: Database, size: int) -> None:
    with (
        pooler(empty_database, "transaction", size=size) as pooled,
        Traffic(pooled.migrator_url, *[_briefly] * 4) as others,
    ):
        for _ in range(3):
            refused = project.gate("upgrade", MIGRATION_DATABASE_URL=pooled.migrator_url)
            assert refused.returncode == 75, refused.stdout + refused.stderr
            assert "connection pooler in transaction mode" in refused.stderr
            assert _advisory_locks(empty_database) == 0
    assert tables(empty_database) == set()
    assert others.errors == []


@pytest.mark.parametrize("verb", ["accept", "settle"])
def test_the_ledgers_verbs_leave_no_lock_in_a_pooled_session(
    project: Project, empty_database: Database, verb: str
) -> None:
    succeed(project.gate("upgrade"))
    with pooler(empty_database, "transaction") as pooled:
        refused = project.gate("ledger", verb, "--reason", "a rehearsal", MIGRATION_DATABASE_URL=pooled.migrator_url)

        assert _advisory_locks(empty_database) == 0
        assert "connection pooler in transaction mode" in refused.stderr, refused.stdout + refused.stderr
        assert refused.returncode == 75
    succeed(project.gate("ledger", verb, "--reason", "a rehearsal"))


def test_the_glass_can_be_broken_through_a_pooler_since_no_lock_is_taken(
    project: Project, empty_database: Database
) -> None:
    succeed(project.gate("upgrade"))
    override = ("ledger", "override", "--for", "5m", "--reason", "a rehearsal")
    with pooler(empty_database, "transaction") as pooled:
        succeed(project.gate(*override, MIGRATION_DATABASE_URL=pooled.migrator_url))

        assert _advisory_locks(empty_database) == 0
    assert empty_database.execute("SELECT reason FROM migration_gate_override") == [("a rehearsal",)]


def test_a_session_pooler_will_do(project: Project, empty_database: Database) -> None:
    with pooler(empty_database, "session", size=5) as pooled:
        succeed(project.gate("upgrade", MIGRATION_DATABASE_URL=pooled.migrator_url))

        assert versions(empty_database) == [HISTORY[-1]]
        assert applied(empty_database) == [(revision, "upgrade") for revision in HISTORY]
        assert _advisory_locks(empty_database) == 0
        assert _left_in_session(pooled.migrator_url, empty_database) == {}


def test_a_direct_migrator_and_a_pooled_application_prove_the_statements_through_the_pooler(
    shelves: Project, empty_database: Database, tmp_path: Path
) -> None:
    with pooler(empty_database, "transaction") as pooled:
        said = succeed(shelves.gate("upgrade", DATABASE_URL=pooled.app_url))
        assert "were not tried" not in said
        assert _left_in_session(pooled.app_url, empty_database) == {}

        # The pool's session is the same as before, and finds nothing of the last proof in it.
        shelves.sql("beef", "f00d", "CREATE TABLE loan (id bigint)")
        said = succeed(shelves.alembic("upgrade", "head", DATABASE_URL=pooled.app_url))
        assert "were not tried" not in said
        assert _left_in_session(pooled.app_url, empty_database) == {}

        # That they are tried at all, and as the application's role.
        shelves.sql("0abc", "beef", f"REVOKE ALL ON shelf_{MANY - 1} FROM taskmanager_app")
        failed = shelves.gate("upgrade", DATABASE_URL=pooled.app_url)
        assert failed.returncode == 4
        assert f"table:shelf_{MANY - 1}: permission denied" in failed.stderr
        assert _left_in_session(pooled.app_url, empty_database) == {}
