"""What a rehearsal leaves behind, which is nothing, and what it refuses."""

from __future__ import annotations

import signal

import psycopg
import pytest

from migration_gate.errors import MigrationGateError
from migration_gate.review.rehearsal.restore import may_keep_owners
from migration_gate.review.rehearsal.source import read
from migration_gate.review.rehearsal.tools import find_tools
from tests.databases import Database, Server
from tests.migration_gate.review.rehearsing import ROWS, SECRET, START, Stage
from tests.migration_gate.scratch import Project, until


@pytest.fixture
def stage(bare_project: Project, empty_database: Database, server: Server) -> Stage:
    stage = Stage(bare_project, empty_database, server)
    stage.play()
    stage.fill()
    return stage


def _fingerprint(database: Database) -> list[object]:
    """Files, columns and rows: a write of any kind would show. Sizes are left out, which autovacuum notes by itself."""
    return [
        database.execute("SELECT oid, relname, relfilenode, relhasindex FROM pg_class ORDER BY 1"),
        database.execute("SELECT attrelid, attname, atttypid, attnotnull, xmin::text FROM pg_attribute ORDER BY 1, 2"),
        database.execute("SELECT xmin::text, ctid::text, s::text FROM shelf s ORDER BY id LIMIT 500"),
        database.execute("SELECT count(*), max(xmin::text::bigint) FROM shelf"),
        database.execute("SELECT xmin::text, r::text FROM migration_gate_revision r ORDER BY id"),
        database.execute("SELECT * FROM alembic_version"),
    ]


def test_the_source_is_untouched_and_the_temporary_database_is_gone(stage: Stage) -> None:
    stage.project.sql("b1", START, "ALTER TABLE shelf ALTER COLUMN place TYPE bigint")
    before = _fingerprint(stage.database)

    done = stage.rehearse("--data", "synthetic", "--max-rows", "50", "--budget-rewrite-rows", "1000000")

    assert done.status == 0, done.out
    assert _fingerprint(stage.database) == before
    assert done.report["database"].startswith("migration_gate_rehearsal_")
    assert done.report["database"] not in stage.databases()


def test_a_migration_that_fails_is_named_without_values_and_leaves_nothing(stage: Stage) -> None:
    stage.project.sql("b1", START, "ALTER TABLE shelf ADD COLUMN one int")
    stage.project.sql("b2", "b1", "ALTER TABLE shelves ADD COLUMN two int")

    done = stage.rehearse()

    assert done.status == 1
    failure = done.report["failure"]
    assert (failure["revision"], failure["file"], failure["sqlstate"]) == ("b2", "b2.py", "42P01")
    assert failure["message"] == 'relation "shelves" does not exist (SQLSTATE 42P01)'
    assert done.report["outcome"] == "failed"
    assert [statement["sqlstate"] for statement in done.report["statements"]] == [None, "42P01"]
    assert done.report["database"] not in stage.databases()
    shown = stage.rehearse(as_json=False)
    assert "failed: revision b2 (b2.py:" in shown.out


def test_a_failure_in_python_is_told_by_its_kind_alone(stage: Stage) -> None:
    stage.project.revision("b1", START, f"raise ValueError({SECRET!r})")

    done = stage.rehearse()

    assert done.status == 1
    assert done.report["failure"]["message"] == "ValueError was raised"
    assert done.report["failure"]["revision"] == "b1"
    assert SECRET not in done.out + done.err


def test_a_value_in_an_error_is_not_told(stage: Stage) -> None:
    stage.project.sql("b1", START, f"SELECT ('{SECRET}' || count(*))::int FROM shelf")

    done = stage.rehearse()

    assert done.status == 1
    assert "(SQLSTATE 22P02)" in done.report["failure"]["message"]
    assert SECRET not in done.report["failure"]["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_the_database_is_dropped(stage: Stage, number: signal.Signals) -> None:
    stage.project.sql("b1", START, "SELECT pg_sleep(60)")

    with stage.rehearsing() as process:
        until(lambda: _sleeps(stage, stage.made_by(process.pid)), within_s=60)
        name = stage.made_by(process.pid)
        process.send_signal(number)
        status = process.wait(timeout=30)

    assert status == 128 + number
    assert name is not None
    assert name not in stage.databases()


def test_what_a_killed_rehearsal_leaves_is_named_and_can_be_dropped(stage: Stage) -> None:
    stage.project.sql("b1", START, "SELECT pg_sleep(60)")
    with stage.rehearsing() as process:
        until(lambda: _sleeps(stage, stage.made_by(process.pid)), within_s=60)
        name = stage.made_by(process.pid)
        in_use = stage.rehearse("--clean", as_json=False)
        process.kill()
    assert name in stage.databases(), "a rehearsal at work is not a leftover"
    assert in_use.status == 1
    assert f"{name} (made by " in in_use.err
    # The migrating process notices at its next event, the server within the second that the gate sets.
    until(lambda: _sessions(stage, name) == 0)
    stage.project.sql("b1", START, "SELECT 1")

    later = stage.rehearse()
    cleaned = stage.rehearse("--clean", as_json=False)

    assert f"left by an earlier rehearsal: {name}" in later.err
    assert f"dropped {name} (made by " in cleaned.err
    assert name not in stage.databases()


def test_the_source_itself_is_refused_as_a_place_to_rehearse(stage: Stage) -> None:
    stage.project.sql("b1", START, "SELECT 1")

    done = stage.rehearse("--scratch-url", stage.database.admin_url)

    assert done.status == 2
    assert "--scratch-url is the address of the source itself" in done.err
    assert done.out == ""


def test_without_a_server_to_rehearse_on_it_says_what_it_needs(stage: Stage) -> None:
    done = stage.rehearse("--scratch-url", "mysql://nowhere/x")
    assert done.status == 2
    assert "must begin with postgresql://" in done.err


def test_a_role_that_may_not_create_databases_is_told_so(stage: Stage) -> None:
    done = stage.rehearse("--scratch-url", stage.server.migrator_url + "postgres")

    assert done.status == 1
    assert "Solution: ALTER ROLE" in done.err


def test_a_role_that_may_create_databases_and_nothing_more_is_enough(stage: Stage) -> None:
    stage.project.sql("b1", START, "ALTER TABLE shelf ALTER COLUMN place TYPE bigint")
    role = f"rehearser_{stage.database.name}"
    stage.admin(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'scratch'")
    try:
        address = f"postgresql://{role}:scratch@{stage.server.admin_url.rpartition('@')[2]}"
        done = stage.rehearse("--scratch-url", address, "--data", "synthetic", "--max-rows", "20")
    finally:
        stage.admin(f"DROP ROLE {role}")

    assert done.status == 5, done.err
    assert done.codes == {"table_rewritten"}
    assert done.report["statements"][0]["rewrites"] == [{"table": "public.shelf", "rows": ROWS}]
    assert any("owners and privileges were left out" in note for note in done.report["notes"])
    assert done.report["database"] not in stage.databases()


def test_an_env_py_that_cannot_be_led_elsewhere_is_not_run(stage: Stage) -> None:
    stage.project.sql("b1", START, "DROP TABLE book")
    stage.project.write_env(
        f"""\
        from migration_gate.environment import run
        from models import metadata
        run(metadata, url={stage.project.url!r})
        """
    )

    done = stage.rehearse()

    assert done.status == 1
    assert "cannot be pointed" in done.report["failure"]["message"]
    assert stage.database.execute("SELECT count(*) FROM book") == [(100,)]


def test_another_connection_of_a_migration_to_the_source_is_refused(stage: Stage) -> None:
    stage.project.revision(
        "b1",
        START,
        f"""\
        with sa.create_engine({stage.project.url.replace("postgresql:", "postgresql+psycopg:")!r}).begin() as other:
            other.execute(sa.text("DROP TABLE book"))
        """,
    )

    done = stage.rehearse()

    assert done.status == 1
    assert done.report["failure"]["message"] == "RuntimeError was raised"
    assert stage.database.execute("SELECT count(*) FROM book") == [(100,)]


def test_row_counts_are_kept_and_no_value_of_the_source_comes_along(stage: Stage) -> None:
    stage.project.sql("b1", START, "SELECT 1")
    stage.admin(f"""ALTER DATABASE {stage.database.name} SET search_path = "$user", public, "Odd; one" """)
    assert stage.database.execute(f"SELECT count(*) FROM pg_stats WHERE most_common_vals::text LIKE '%{SECRET}%'") != [
        (0,)
    ]

    done = stage.rehearse("--keep")

    assert done.report["kept"] is True
    with stage.kept(done) as session:
        counts = session.execute("SELECT reltuples::int FROM pg_class WHERE relname = 'shelf'").fetchone()
        assert counts == (ROWS,)
        assert session.execute("SELECT count(*) FROM shelf").fetchone() == (0,)
        distinct = "SELECT n_distinct, null_frac FROM pg_stats WHERE tablename = 'shelf' AND attname = 'label'"
        assert session.execute(distinct).fetchone() == (1.0, 0.0)
        values = session.execute(
            "SELECT count(*) FROM pg_stats WHERE tablename IN ('shelf', 'book')"
            " AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL)"
        ).fetchone()
        assert values == (0,)
        path = '"$user", public, "Odd; one"'
        assert session.execute("SHOW search_path").fetchone() == (path,)
        # What env.py saw of the past is the source's own ledger.
        applied = session.execute("SELECT revision FROM migration_gate_revision ORDER BY id").fetchall()
        assert applied == [(START,), ("b1",)]


def test_owners_stay_away_where_the_scratch_server_lacks_a_role(stage: Stage) -> None:
    with psycopg.connect(stage.database.admin_url, autocommit=True) as session:
        source = read(session)
        assert "taskmanager_migrator" in source.roles
        notes: list[str] = []
        assert may_keep_owners(session, source, notes)
        assert notes == []
        session.execute("SET ROLE taskmanager_migrator")
        assert not may_keep_owners(session, source, notes)
        assert "no superuser" in notes[0]


def test_tools_that_are_too_old_are_named_with_what_is_there() -> None:
    assert find_tools(18).major >= 18
    assert find_tools(14).major <= find_tools(18).major
    with pytest.raises(MigrationGateError, match=r"of PostgreSQL 99 or newer are needed, and there is 1\d in") as told:
        find_tools(99)
    assert "postgresql-client-99" in told.value.solution


def _sleeps(stage: Stage, name: str | None) -> bool:
    return name is not None and _sessions(stage, name, "AND query LIKE '%pg_sleep%' AND state = 'active'") > 0


def _sessions(stage: Stage, name: str | None, more: str = "") -> int:
    return int(stage.admin(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' {more}")[0][0])
