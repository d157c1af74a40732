"""Several migrators, sessions that die, and sessions that wait for each other."""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import ExitStack, closing

import psycopg

from tests.migration_gate.failures.ferries import HISTORY, LEAVES_INDEX, Ferries, told
from tests.migration_gate.failures.mending import execute_printed, solution_in, sql_in
from tests.migration_gate.failures.traffic import assert_flows
from tests.migration_gate.poolers import pooler
from tests.migration_gate.scratch import sessions, succeed, until

DECK = "aa01"
# A migrator lies in a long statement unless the file is there.
_LONG = """\
if not pathlib.Path("quick").exists():
    op.execute("SELECT pg_sleep(300)")
op.execute("ALTER TABLE ferry.sailing ADD COLUMN deck text")
"""
SLEEPING = "query = 'SELECT pg_sleep(300)' AND state = 'active'"
BUILDING = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
MIGRATORS = "application_name LIKE 'migration-gate%'"


def _holder(ferries: Ferries) -> int:
    rows = ferries.database.execute(
        "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()"
    )
    ((pid,),) = rows
    return int(str(pid))


def _waits(migrating: subprocess.Popen[str]) -> str:
    """What a second migrator says once it waits for the lock."""
    assert migrating.stdout is not None
    said = ""
    while "waiting for the migration lock, held by" not in said:
        line = migrating.stdout.readline()
        assert line, f"ended without a word about the lock: {said}"
        said += line
    return said


def test_14_many_replicas_at_once(ferries: Ferries) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(ferries.running("migration_gate", "upgrade")) for _ in range(5)]
        outputs = [replica.communicate(timeout=100)[0] for replica in replicas]

    assert [replica.returncode for replica in replicas] == [0] * 5, outputs
    assert ferries.applied() == list(HISTORY)
    assert ferries.runs() == [("upgrade", "succeeded")]
    ferries.sail()
    assert_flows(ferries)


def test_15_a_waiting_replica_and_an_index_built_concurrently(ferries: Ferries) -> None:
    """The build waits for every older snapshot. The replica that waits for the lock must hold none."""
    until_built = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ferry.sailing_leaves'::regclass"
    with psycopg.connect(ferries.database.migrator_url) as older:
        older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM pg_class")
        with ferries.running("alembic", "upgrade", "head") as first:
            until(lambda: sessions(ferries.database, BUILDING), within_s=60)
            with ferries.running("migration_gate", "upgrade") as second:
                assert f"(server process {_holder(ferries)}, " in _waits(second)
                # It asks again and again, and between two questions it holds neither a lock nor a snapshot.
                blocked = "wait_event = 'advisory' OR (state = 'idle in transaction' AND pid <> pg_backend_pid())"
                assert sessions(ferries.database, f"{MIGRATORS} AND ({blocked})") == 0
                older.rollback()
                assert first.wait(timeout=60) == 0
                assert second.wait(timeout=60) == 0

    assert ferries.database.execute(until_built) == [(True,)]
    assert ferries.runs() == [("upgrade", "succeeded")]
    ferries.sail()
    assert_flows(ferries)


def test_16_the_lock_is_lost_while_its_holder_goes_on(under_way: Ferries) -> None:
    under_way.revision(DECK, LEAVES_INDEX, _LONG)

    with under_way.running("alembic", "upgrade", "head") as holder:
        until(lambda: sessions(under_way.database, SLEEPING), within_s=60)
        with under_way.running("migration_gate", "upgrade") as successor:
            _waits(successor)
            (under_way.folder / "quick").touch()
            under_way.database.execute("SELECT pg_terminate_backend(%s)", _holder(under_way))
            said = holder.communicate(timeout=60)[0]
            assert holder.returncode != 0
            assert successor.wait(timeout=60) == 0

    assert "The session with PostgreSQL was lost" in said
    assert under_way.applied().count(DECK) == 1
    assert under_way.runs()[-2:] == [("upgrade", "failed"), ("upgrade", "succeeded")]
    assert_flows(under_way)


def test_16_a_pooler_in_transaction_mode_is_refused(under_way: Ferries) -> None:
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    before = under_way.everything()

    with pooler(under_way.database, "transaction") as pooled:
        refused = under_way.gate("upgrade", MIGRATION_DATABASE_URL=pooled.migrator_url)

    assert refused.returncode in {3, 75}, told(refused)
    assert under_way.everything() == before
    assert "pooler" in told(refused)
    assert "set MIGRATION_DATABASE_URL to PostgreSQL's own address, past the pooler" in told(refused)

    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


def test_17_the_holder_is_killed_while_its_statement_runs(under_way: Ferries) -> None:
    under_way.revision(DECK, LEAVES_INDEX, _LONG)
    with under_way.running("alembic", "upgrade", "head") as holder:
        until(lambda: sessions(under_way.database, SLEEPING), within_s=60)
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=20)

    # The server notices by itself, and long before the statement's five minutes are over.
    until(lambda: sessions(under_way.database, SLEEPING) == 0, within_s=60)
    verdict = under_way.verdict()
    assert (verdict["state"], verdict["missing"]) == ("behind", [DECK])
    (under_way.folder / "quick").touch()
    assert verdict["solution"] == "alembic upgrade head"
    succeed(under_way.alembic("upgrade", "head"))

    error = under_way.database.execute("SELECT error FROM ferry.migration_gate_run WHERE result = 'failed'")
    assert error == [("the migrator disappeared before the run ended",)]
    assert_flows(under_way)


def test_17_a_holder_that_hangs_is_named_with_the_statement_that_ends_it(under_way: Ferries) -> None:
    under_way.revision(DECK, LEAVES_INDEX, _LONG)
    with under_way.running("alembic", "upgrade", "head") as holder:
        until(lambda: sessions(under_way.database, SLEEPING), within_s=60)
        pid = _holder(under_way)
        under_way.options(", lock_deadline_s=0.3")
        late = under_way.gate("upgrade")
        assert late.returncode == 75
        assert f"migration-gate {socket.gethostname()[:36]}" in late.stderr
        assert f"server process {pid}" in late.stderr

        ended = execute_printed(under_way, solution_in(late.stderr))
        assert ended == f"SELECT pg_terminate_backend({pid})"
        assert holder.wait(timeout=60) != 0

    (under_way.folder / "quick").touch()
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


def test_20_a_long_reader_and_everybody_behind_the_migration(under_way: Ferries) -> None:
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    under_way.options(', lock_timeout="300ms", retry_s=3')

    with closing(psycopg.connect(under_way.database.app_url, application_name="a long report")) as reader:
        reader.execute("SELECT count(*) FROM ferry.sailing")
        pid = reader.info.backend_pid
        with under_way.running("migration_gate", "upgrade") as migrating:
            waiting = f"{MIGRATORS} AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'"
            until(lambda: sessions(under_way.database, waiting), within_s=60)
            # Whoever comes after it is served all the same, once it gives way.
            with psycopg.connect(under_way.database.app_url, options="-c statement_timeout=20s") as client:
                assert client.execute("SELECT count(*) FROM ferry.sailing").fetchone() == (3,)
            output = migrating.communicate(timeout=100)[0]
        assert migrating.returncode == 1
        assert "A table stayed locked by another session for 3 s" in output
        assert f"held by server process {pid} (a long report, role taskmanager_app" in output
        assert under_way.revisions() == [LEAVES_INDEX]

        # Only a role that may end the sessions of others: the migrator is none.
        (statement,) = sql_in(solution_in(output))
        assert statement == f"SELECT pg_terminate_backend({pid})"
        with psycopg.connect(under_way.database.admin_url, autocommit=True) as admin:
            admin.execute(statement.encode())
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)
