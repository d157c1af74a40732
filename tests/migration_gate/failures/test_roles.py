"""What roles may do, what their sessions are bound by, and what sessions remember."""

from __future__ import annotations

import asyncio

import asyncpg
import psycopg
import pytest

from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.tables import VersionTable
from migration_gate.watch import Watcher
from tests.migration_gate.failures.ferries import LEAVES_INDEX, Ferries
from tests.migration_gate.failures.mending import solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed

DECK = "aa01"
_CAPTAIN = "CREATE TABLE ferry.captain (id bigint PRIMARY KEY, name text)"
_CAPTAIN_MODEL = """
captain = sa.Table(
    "captain", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text)
)
"""


def _admin(ferries: Ferries, sql: str) -> None:
    with psycopg.connect(ferries.database.admin_url, autocommit=True) as admin:
        admin.execute(sql.encode())


@pytest.mark.parametrize("name", ["statement_timeout", "idle_in_transaction_session_timeout"])
def test_23_the_roles_own_timeout_does_not_end_the_migration(under_way: Ferries, name: str) -> None:
    # In this database alone: other tests use the same role.
    role = f"ALTER ROLE taskmanager_migrator IN DATABASE {under_way.database.name}"
    _admin(under_way, f"{role} SET {name} = '300ms'")
    under_way.revision(
        DECK,
        LEAVES_INDEX,
        "import time\n"
        'op.execute("SELECT pg_sleep(1)")\n'
        "time.sleep(1)\n"
        'op.execute("ALTER TABLE ferry.sailing ADD COLUMN deck text")',
    )
    under_way.write_env("import logging\nlogging.basicConfig(level=logging.INFO)\n" + _env(under_way))

    output = succeed(under_way.alembic("upgrade", "head"))

    assert f"the role's own timeouts do not bind this migration: {name} = 300ms" in output
    assert under_way.revisions() == [DECK]
    _admin(under_way, f"{role} RESET {name}")
    assert_flows(under_way)


def _env(ferries: Ferries) -> str:
    return (ferries.migrations / "env.py").read_text()


def test_27_a_migrator_that_may_not_create(under_way: Ferries) -> None:
    _admin(under_way, "ALTER SCHEMA ferry OWNER TO postgres; GRANT USAGE ON SCHEMA ferry TO taskmanager_migrator")
    under_way.sql(DECK, LEAVES_INDEX, _CAPTAIN)

    refused = under_way.gate("upgrade")

    assert refused.returncode == 1
    assert "permission denied for schema ferry (SQLSTATE 42501)" in refused.stderr
    assert f"The statement: {_CAPTAIN}" in refused.stderr
    assert "GRANT the migrator's role what the statement needs (CREATE on the schema" in solution_in(refused.stderr)
    assert under_way.revisions() == [LEAVES_INDEX]

    _admin(under_way, "GRANT CREATE ON SCHEMA ferry TO taskmanager_migrator")
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


def test_27_a_new_table_that_the_application_may_not_read(under_way: Ferries) -> None:
    under_way.database.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA ferry REVOKE ALL ON TABLES FROM taskmanager_app",
    )
    under_way.sql(DECK, LEAVES_INDEX, _CAPTAIN)
    models = under_way.folder / "models.py"
    models.write_text(models.read_text() + _CAPTAIN_MODEL)

    failed = under_way.gate("upgrade")
    verdict = under_way.verdict()
    answer = ask(under_way)

    assert failed.returncode == 4
    assert "table:ferry.captain: permission denied for table captain (SQLSTATE 42501)" in failed.stderr
    assert "GRANT the application's role what it needs" in solution_in(failed.stderr)
    assert (verdict["state"], verdict["servable"]) == ("privileges_missing", False)
    assert "role 'taskmanager_app'" in verdict["evidence"]
    assert (answer.status, answer.code) == (503, "privileges_missing")
    assert "as the migrator, to the application's role: GRANT SELECT" in verdict["solution"]

    under_way.database.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ferry.captain TO taskmanager_app")
    assert_flows(under_way)


def test_28_sessions_that_remember_the_schema_of_before(under_way: Ferries) -> None:
    """asyncpg keeps a statement's plan, which a migration makes invalid: the first request after it fails."""
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")

    asyncio.run(_served_across_the_upgrade(under_way))

    assert_flows(under_way)


async def _served_across_the_upgrade(ferries: Ferries) -> None:
    url = ferries.database.app_url
    probe = AsyncpgProbe(url, version_table=VersionTable(schema="ferry"), statements={}, timeout_s=20)
    watcher = Watcher(expected_from_scripts(ferries.config), probe)
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as stale, _pool(url) as renewed:
        told: list[str] = []
        watcher.on_change(lambda status: told.append(status.state.value))
        watcher.on_change(lambda _: asyncio.get_running_loop().create_task(renewed.expire_connections()))
        assert (await watcher.check()).status.state == "behind"
        await asyncio.gather(_request(stale), _request(renewed))

        succeed(await asyncio.to_thread(ferries.gate, "upgrade"))
        await watcher.check()
        await asyncio.sleep(0)

        assert told == ["behind", "current"]
        with pytest.raises(asyncpg.InvalidCachedStatementError):
            await _request(stale)
        await _request(renewed)
    await probe.close()


def _pool(url: str) -> asyncpg.Pool:
    return asyncpg.create_pool(url, min_size=1, max_size=1)


async def _request(pool: asyncpg.Pool) -> None:
    """As services do it: in a transaction, where asyncpg cannot try again by itself."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT * FROM ferry.sailing")
