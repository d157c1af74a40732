"""Faults between the service's watcher and its database, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
import pytest_asyncio

from migration_gate.errors import DatabaseUnreachable
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from tests.databases import Database

STATEMENTS = {"list_books": "SELECT id, title FROM book"}


@pytest.fixture
def library(empty_database: Database) -> Database:
    empty_database.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    empty_database.execute("INSERT INTO alembic_version VALUES ('f00d')")
    empty_database.execute("CREATE TABLE book (id bigserial PRIMARY KEY, title text)")
    return empty_database


@pytest_asyncio.fixture
async def probe(library: Database) -> AsyncIterator[AsyncpgProbe]:
    probe = AsyncpgProbe(library.app_url, statements=STATEMENTS, timeout_s=5, prove_every_s=3600)
    yield probe
    await probe.close()


async def _unreachable(url: str, timeout_s: float = 5.0) -> DatabaseUnreachable:
    probe = AsyncpgProbe(url, timeout_s=timeout_s)
    with pytest.raises(DatabaseUnreachable) as error:
        await probe()
    return error.value


def _session(library: Database) -> list[tuple[object, ...]]:
    return library.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'migration-gate watcher'"
        " AND datname = current_database()"
    )


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  the other side is another process
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _silent_server() -> AsyncIterator[str]:
    """Accepts connections and never says a word."""
    end = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await end.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        yield f"postgresql://reader:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}/library"
    finally:
        end.set()
        server.close()
        await server.wait_closed()


async def test_a_server_that_accepts_and_never_answers_is_unreachable_within_the_timeout() -> None:
    async with _silent_server() as url, asyncio.timeout(20):
        fault = await _unreachable(url, timeout_s=0.2)

    assert fault.transient
    assert fault.message == "PostgreSQL did not answer in time"


async def test_a_port_where_nothing_listens_is_unreachable() -> None:
    async with _silent_server() as url:
        pass

    fault = await _unreachable(url)

    assert fault.transient
    assert "nothing listens" in fault.message
    assert fault.solution == "start PostgreSQL"


async def test_a_wrong_password_is_named_and_not_shown(library: Database) -> None:
    secret = library.app_url.split(":")[2].split("@")[0]

    fault = await _unreachable(library.app_url.replace(secret, "wr0ng"))

    assert not fault.transient
    assert "28P01" in fault.message
    assert "wr0ng" not in str(fault)


async def test_an_unknown_database_is_named_as_such(library: Database) -> None:
    fault = await _unreachable(library.app_url + "_of_others")

    assert not fault.transient
    assert "3D000" in fault.message


async def test_a_role_that_may_not_connect_is_named_as_such(library: Database) -> None:
    library.execute(f"REVOKE CONNECT ON DATABASE {library.name} FROM PUBLIC")

    fault = await _unreachable(library.app_url)

    assert not fault.transient
    assert "the role may not connect" in fault.message


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    fault = await _unreachable("postgresql://reader@no-such-host.invalid/library")

    assert "could not be resolved" in fault.message


async def test_a_lock_on_the_version_table_is_a_moment_without_an_answer(
    library: Database, probe: AsyncpgProbe
) -> None:
    await probe()
    with psycopg.connect(library.migrator_url) as migrating:
        migrating.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnreachable, match="55P03"):
            await probe()

    assert (await probe()).revisions == ("f00d",)


async def test_it_connects_anew_after_its_session_was_ended(library: Database, probe: AsyncpgProbe) -> None:
    await probe()
    before = _session(library)
    with psycopg.connect(library.admin_url) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", before[0])

    with pytest.raises(DatabaseUnreachable) as error:
        await probe()

    assert error.value.transient
    assert (await probe()).revisions == ("f00d",)
    assert len(_session(library)) == 1
    assert _session(library) != before


async def test_one_session_is_kept_over_many_observations_and_closed_at_the_end(
    library: Database, probe: AsyncpgProbe
) -> None:
    await probe()
    first = _session(library)
    for _ in range(5):
        await probe()

    assert _session(library) == first
    await probe.close()
    await _until(lambda: not _session(library))


async def test_its_session_can_write_nothing(library: Database, probe: AsyncpgProbe) -> None:
    observed = await probe()
    connection = probe._connection
    assert connection is not None

    for setting in ("default_transaction_read_only", "lock_timeout", "statement_timeout"):
        assert await connection.fetchval(f"SHOW {setting}") not in {"off", "0"}
    assert observed.role == "taskmanager_app"


async def test_statements_are_not_proven_again_while_nothing_changes(library: Database, probe: AsyncpgProbe) -> None:
    assert (await probe()).broken_statements == ()
    library.execute("ALTER TABLE book DROP COLUMN title")

    assert (await probe()).broken_statements == ()


async def test_statements_are_proven_again_when_the_revision_changes(library: Database, probe: AsyncpgProbe) -> None:
    await probe()
    library.execute("ALTER TABLE book DROP COLUMN title")
    library.execute("UPDATE alembic_version SET version_num = 'beef'")

    assert [each.sqlstate for each in (await probe()).broken_statements] == ["42703"]


async def test_a_broken_statement_is_proven_at_each_observation_until_it_is_mended(
    library: Database, probe: AsyncpgProbe
) -> None:
    library.execute("REVOKE ALL ON book FROM taskmanager_app")
    assert [each.sqlstate for each in (await probe()).broken_statements] == ["42501"]

    library.execute("GRANT SELECT ON book TO taskmanager_app")

    assert (await probe()).broken_statements == ()


async def test_statements_are_proven_again_after_a_while(library: Database) -> None:
    probe = AsyncpgProbe(library.app_url, statements=STATEMENTS, timeout_s=5, prove_every_s=0)
    await probe()
    library.execute("ALTER TABLE book DROP COLUMN title")

    broken = (await probe()).broken_statements
    await probe.close()

    assert [each.name for each in broken] == ["list_books"]


async def test_a_cancelled_observation_leaves_no_session_behind(library: Database, probe: AsyncpgProbe) -> None:
    await probe()
    with psycopg.connect(library.migrator_url) as migrating:
        migrating.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        observing = asyncio.create_task(probe())
        await _until(
            lambda: library.execute(
                "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'alembic_version'::regclass"
            )
        )
        observing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await observing

    await _until(lambda: not _session(library))
    assert (await probe()).revisions == ("f00d",)
