"""What a probe tells while somebody holds the application's tables: a wait is no lost database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import pytest_asyncio

from migration_gate import ledger, lock
from migration_gate.connection import engine_for
from migration_gate.errors import DatabaseUnreachable
from migration_gate.observed import Observed
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.postgres.probing import DatabaseProbe
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.tables import VersionTable
from tests.databases import Database

STATEMENTS = {"list_tasks": "SELECT id, title FROM tasks"}
TABLE = VersionTable()
LOCK_TASKS = "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"


@pytest_asyncio.fixture(params=[AsyncpgProbe, PsycopgProbe], ids=["asyncpg", "psycopg"])
async def probe(request: pytest.FixtureRequest, migrated_database: Database) -> AsyncIterator[DatabaseProbe]:
    probe: DatabaseProbe = request.param(
        migrated_database.app_url, statements=STATEMENTS, timeout_s=5, prove_every_s=3600
    )
    yield probe
    await probe.close()


@contextmanager
def run_that_holds_tasks(database: Database) -> Iterator[None]:
    """A run that is recorded, and then holds the table that it changes, as a migrator does."""
    with engine_for(sqlalchemy_url(database.migrator_url)).connect() as migrator:
        lock.acquire(migrator, TABLE, deadline_s=5.0)
        run = ledger.begin_run(migrator, TABLE, "upgrade", 0.0)
        migrator.commit()
        migrator.exec_driver_sql(LOCK_TASKS)
        yield
        migrator.rollback()
        ledger.end_run(migrator, TABLE, run, None)
        migrator.commit()


@contextmanager
def session_that_holds_tasks(database: Database) -> Iterator[None]:
    with psycopg.connect(database.migrator_url) as somebody:
        somebody.execute(LOCK_TASKS)
        yield


def name_another_revision(database: Database) -> None:
    """So that what was proven was proven of another schema."""
    database.execute("UPDATE alembic_version SET version_num = 'beef'")


def told(observed: Observed) -> tuple[str | None, bool, list[str]]:
    return (
        observed.last_run.result if observed.last_run else None,
        observed.statements_proven,
        [each.sqlstate for each in observed.broken_statements],
    )


async def test_a_run_that_holds_a_table_is_told_and_makes_no_database_unreachable(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    assert told(await probe()) == ("succeeded", True, [])

    with run_that_holds_tasks(migrated_database):
        assert told(await probe()) == ("running", False, [])
        assert told(await probe()) == ("running", False, [])

    assert told(await probe()) == ("succeeded", True, [])


async def test_a_probe_that_comes_while_a_run_holds_a_table_tells_of_the_run_and_claims_no_proof(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    with run_that_holds_tasks(migrated_database):
        assert told(await probe()) == ("running", False, [])

    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN title TO name")
    assert told(await probe()) == ("succeeded", True, ["42703"])


async def test_what_was_broken_before_a_lock_stays_broken_until_it_is_proven_whole(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN title TO name")
    assert told(await probe()) == ("succeeded", True, ["42703"])

    with run_that_holds_tasks(migrated_database):
        assert told(await probe()) == ("running", False, ["42703"])
    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN name TO title")

    assert told(await probe()) == ("succeeded", True, [])


async def test_where_the_statements_were_proven_once_a_lock_of_anybody_is_a_proof_to_be_made_later(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    await probe()
    name_another_revision(migrated_database)
    probe.distrust()

    with session_that_holds_tasks(migrated_database):
        observed = await probe()
    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN title TO name")

    assert observed.revisions == ("beef",)
    assert not observed.statements_proven
    assert told(await probe()) == ("succeeded", True, ["42703"])


async def test_where_nothing_was_ever_proven_and_nobody_migrates_a_lock_opens_no_gate(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    with session_that_holds_tasks(migrated_database):
        for _ in range(2):
            with pytest.raises(DatabaseUnreachable, match="55P03") as fault:
                await probe()
    assert fault.value.transient

    assert told(await probe()) == ("succeeded", True, [])


async def test_a_proof_that_is_cut_short_by_the_statements_timeout_is_one_to_be_made_later(
    migrated_database: Database, probe: DatabaseProbe
) -> None:
    await probe()
    # The planner folds what it calls immutable, so this statement takes its time before it would run.
    migrated_database.execute(
        "CREATE FUNCTION public.slowly() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(20)'"
    )
    probe._statements = {"slow": "SELECT public.slowly()"}
    name_another_revision(migrated_database)

    assert told(await probe()) == ("succeeded", False, [])
