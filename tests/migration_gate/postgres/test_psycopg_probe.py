"""The probe that everybody has: faults and proofs as with asyncpg, and a pooler between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
import pytest_asyncio

from migration_gate.errors import DatabaseUnreachable
from migration_gate.postgres.probing import APPLICATION_NAME
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from tests.databases import Database
from tests.migration_gate.poolers import pooler
from tests.migration_gate.postgres.test_distant_server import _distant
from tests.taskmanager.postgres_proxy import PostgresProxy

STATEMENTS = {"list_books": "SELECT id, title FROM book", "get_book": "SELECT title FROM book WHERE id = $1"}


@pytest.fixture
def library(empty_database: Database) -> Database:
    empty_database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    empty_database.execute("INSERT INTO alembic_version VALUES ('f00d')")
    empty_database.execute("CREATE TABLE book (id bigserial PRIMARY KEY, title text)")
    return empty_database


@pytest_asyncio.fixture
async def probe(library: Database) -> AsyncIterator[PsycopgProbe]:
    probe = PsycopgProbe(library.app_url, statements=STATEMENTS, timeout_s=5, prove_every_s=3600)
    yield probe
    await probe.close()


async def _unreachable(url: str, timeout_s: float = 5.0) -> DatabaseUnreachable:
    probe = PsycopgProbe(url, timeout_s=timeout_s)
    with pytest.raises(DatabaseUnreachable) as error:
        await probe()
    await probe.close()
    return error.value


_SESSIONS = f"""SELECT pid FROM pg_stat_activity
    WHERE application_name = '{APPLICATION_NAME}' AND datname = current_database()"""


def _sessions(library: Database) -> list[tuple[object, ...]]:
    return library.execute(_SESSIONS)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  the other side is another process
            await asyncio.sleep(0.01)


async def test_it_sees_revisions_and_proves_statements(library: Database, probe: PsycopgProbe) -> None:
    observed = await probe()

    assert observed.revisions == ("f00d",)
    assert observed.role == "taskmanager_app"
    assert observed.statements_proven
    assert observed.broken_statements == ()


async def test_between_two_looks_its_session_is_idle_and_holds_nothing(library: Database, probe: PsycopgProbe) -> None:
    await probe()

    with psycopg.connect(library.admin_url) as admin:  # other roles are not shown what a session does
        assert len(admin.execute(f"{_SESSIONS} AND state = 'idle'".encode()).fetchall()) == 1
        assert admin.execute(f"SELECT locktype FROM pg_locks WHERE pid IN ({_SESSIONS})".encode()).fetchall() == []
    for _ in range(3):
        await probe()
    assert len(_sessions(library)) == 1


async def test_nothing_can_be_written_and_every_wait_is_bounded(probe: PsycopgProbe) -> None:
    await probe()

    async with probe._transaction():
        for setting, value in {
            "transaction_read_only": "on",
            "lock_timeout": "500ms",
            "statement_timeout": "1500ms",
        }.items():
            assert await probe._rows(f"SHOW {setting}") == [(value,)]


async def test_a_wrong_password_is_named_and_not_shown(library: Database) -> None:
    secret = library.app_url.split(":")[2].split("@")[0]

    fault = await _unreachable(library.app_url.replace(secret, "wr0ng"))

    assert not fault.transient
    assert "password" in fault.message
    assert "wr0ng" not in str(fault)


async def test_an_unknown_database_is_not_transient(library: Database) -> None:
    fault = await _unreachable(library.app_url + "_of_others")

    assert not fault.transient
    assert "does not exist" in fault.message


async def test_a_port_where_nothing_listens_is_unreachable(library: Database) -> None:
    with PostgresProxy(library) as proxy:
        url = proxy.database.app_url

    assert (await _unreachable(url)).transient


async def test_a_server_that_accepts_and_never_answers_is_given_up_in_time(library: Database) -> None:
    with PostgresProxy(library) as proxy:
        proxy.fall_silent()
        async with asyncio.timeout(5):
            fault = await _unreachable(proxy.database.app_url, timeout_s=0.2)

    assert fault.transient
    assert fault.message == "PostgreSQL did not answer in time"


async def test_a_server_that_falls_silent_in_the_middle_is_given_up_in_time(library: Database) -> None:
    with PostgresProxy(library) as proxy:
        probe = PsycopgProbe(proxy.database.app_url, timeout_s=0.5)
        await probe()
        proxy.fall_silent()
        started = asyncio.get_running_loop().time()

        with pytest.raises(DatabaseUnreachable, match="did not answer in time"):
            await probe()

        # psycopg's own way out of a cancelled statement takes ten seconds with such a server.
        assert asyncio.get_running_loop().time() - started < 3
        await probe.close()


async def test_it_connects_anew_after_its_session_was_ended(library: Database, probe: PsycopgProbe) -> None:
    await probe()
    before = _sessions(library)
    with psycopg.connect(library.admin_url) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", before[0])

    with pytest.raises(DatabaseUnreachable) as error:
        await probe()

    assert error.value.transient
    assert (await probe()).revisions == ("f00d",)
    assert _sessions(library) != before


async def test_missing_columns_and_privileges_are_told_until_they_are_mended(
    library: Database, probe: PsycopgProbe
) -> None:
    library.execute("ALTER TABLE book RENAME COLUMN title TO name")
    assert [each.sqlstate for each in (await probe()).broken_statements] == ["42703", "42703"]
    library.execute("ALTER TABLE book RENAME COLUMN name TO title")
    library.execute("REVOKE ALL ON book FROM taskmanager_app")
    assert [each.sqlstate for each in (await probe()).broken_statements] == ["42501", "42501"]
    library.execute("GRANT SELECT ON book TO taskmanager_app")

    assert (await probe()).broken_statements == ()
    async with probe._transaction():
        assert await probe._rows("SELECT name FROM pg_prepared_statements") == []


async def test_a_cancelled_observation_ends_at_once_and_leaves_no_session(
    library: Database, probe: PsycopgProbe
) -> None:
    await probe()
    with psycopg.connect(library.migrator_url) as migrating:
        migrating.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        observing = asyncio.create_task(probe())
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'alembic_version'::regclass"
        await _until(lambda: library.execute(waiting))
        observing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await observing

    await _until(lambda: not _sessions(library))
    assert (await probe()).revisions == ("f00d",)


async def test_a_distant_server_is_slow_in_sum_and_not_unreachable(library: Database) -> None:
    async with _distant(library.app_url) as url:
        probe = PsycopgProbe(url, statements={f"s{n}": "SELECT $1::int" for n in range(6)}, timeout_s=1.0)
        loop = asyncio.get_running_loop()
        started = loop.time()

        assert (await probe()).broken_statements == ()
        assert loop.time() - started > 1.0
        await probe.close()


async def test_through_a_transaction_pooler_it_observes_and_leaves_nothing_in_the_next_ones_session(
    library: Database,
) -> None:
    with pooler(library, "transaction", size=1) as pooled:
        url = pooled.app_url
        probe = PsycopgProbe(url, statements=STATEMENTS, timeout_s=5, prove_every_s=0)
        assert (await probe()).broken_statements == ()
        library.execute("REVOKE ALL ON book FROM taskmanager_app")
        assert [each.sqlstate for each in (await probe()).broken_statements] == ["42501", "42501"]
        library.execute("DROP TABLE book")
        assert [each.sqlstate for each in (await probe()).broken_statements] == ["42P01", "42P01"]
        assert (await probe()).revisions == ("f00d",)

        # The pool has one server connection, so this is the one that the probe has just used.
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as next_one:
            for setting in ("lock_timeout", "statement_timeout"):
                assert next_one.execute(f"SHOW {setting}".encode()).fetchone() == ("0",)
            assert next_one.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
            assert next_one.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
        await probe.close()


async def test_through_a_busy_pooler_each_proof_meets_one_session(library: Database) -> None:
    with pooler(library, "transaction", size=3) as pooled:
        url = pooled.app_url
        probe = PsycopgProbe(url, statements=STATEMENTS, timeout_s=5, prove_every_s=0)
        ended = threading.Event()
        others = [threading.Thread(target=_keep_busy, args=(url, ended)) for _ in range(4)]
        for other in others:
            other.start()
        try:
            for _ in range(25):
                assert (await probe()).broken_statements == ()
        finally:
            ended.set()
            for other in others:
                other.join()
        await probe.close()


def _keep_busy(url: str, ended: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        while not ended.is_set():
            connection.execute("SELECT pg_sleep(0.001)")


async def test_a_probe_that_leaves_in_the_middle_leaves_the_pooler_a_clean_session(library: Database) -> None:
    with pooler(library, "transaction", size=1) as pooled:
        url = pooled.app_url
        probe = PsycopgProbe(url, statements=STATEMENTS, timeout_s=5)
        await probe._connect()
        await probe._execute("BEGIN")
        await probe._rows("PREPARE migration_gate_proof AS SELECT 1")
        probe._drop()

        again = PsycopgProbe(url, statements=STATEMENTS, timeout_s=5)
        assert (await again()).broken_statements == ()
        await again.close()
