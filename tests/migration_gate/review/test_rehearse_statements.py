"""What a rehearsal tells of statements: their locks, who waited, what was rewritten and read, on a real PostgreSQL.

Long locks are made long with pg_sleep in the migration's own transaction; no test asks for speed.
"""

from __future__ import annotations

import pytest

from tests.databases import Database, Server
from tests.migration_gate.review.rehearsing import ROWS, START, Stage
from tests.migration_gate.scratch import Project

REWRITE = "ALTER TABLE shelf ALTER COLUMN place TYPE bigint"


def _statements(*sql: str) -> str:
    return "\n".join(f"op.execute({statement!r})" for statement in sql)


@pytest.fixture
def stage(bare_project: Project, empty_database: Database, server: Server) -> Stage:
    stage = Stage(bare_project, empty_database, server)
    stage.play()
    stage.fill()
    return stage


def test_a_rewrite_is_seen_with_its_lock_until_commit_and_who_waits_for_it(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements(REWRITE, "SELECT pg_sleep(1.2)"))

    done = stage.rehearse("--svg", "seen.svg")

    assert done.status == 5, done.err
    rewrite, sleep = done.statement(1), done.statement(2)
    assert rewrite["rewrites"] == [{"table": "public.shelf", "rows": ROWS}]
    lock = rewrite["strongest_lock"]
    assert (lock["table"], lock["mode"], lock["blocks"]) == ("public.shelf", "ACCESS EXCLUSIVE", "reads and writes")
    # The statement itself is quick; its lock lasts as long as the transaction.
    assert lock["held_ms"] >= 1200 > rewrite["duration_ms"]
    assert sleep["locks"] == []
    assert rewrite["waits"]["readers"] >= 1
    assert rewrite["waits"]["writers"] >= 1
    assert rewrite["waits"]["longest_ms"] > 600
    assert sleep["waits"]["readers"] == sleep["waits"]["writers"] == 0
    assert done.codes == {"lock_held", "query_waited", "table_rewritten"}
    assert {breach["statement"] for breach in done.report["breaches"]} == {1}
    assert (rewrite["revision"], rewrite["file"]) == ("b1", "b1.py")
    assert rewrite["sql"] == REWRITE
    assert "ACCESS EXCLUSIVE" in (stage.project.folder / "seen.svg").read_text()


def test_a_new_column_is_within_the_budget(stage: Stage) -> None:
    stage.project.revision("b1", START, 'op.add_column("shelf", sa.Column("color", sa.Text()))')

    done = stage.rehearse("--budget-lock-ms", "5000", "--budget-wait-ms", "5000")

    assert done.status == 0, done.out
    assert done.report["outcome"] == "within_budget"
    added = done.statement(1)
    assert added["strongest_lock"]["mode"] == "ACCESS EXCLUSIVE"
    assert added["rewrites"] == added["scans"] == []
    assert done.report["breaches"] == []
    assert done.report["revisions"] == ["b1"]


def test_a_plain_index_keeps_writers_out_and_lets_readers_in(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("CREATE INDEX shelf_place ON shelf (place)", "SELECT pg_sleep(1)"))

    done = stage.rehearse("--budget-rewrite-rows", str(10 * ROWS))

    assert done.status == 5
    index = done.statement(1)
    assert index["strongest_lock"]["mode"] == "SHARE"
    assert index["waits"]["writers"] >= 1
    assert index["waits"]["readers"] == 0
    assert index["indexes_built"] == ["public.shelf_place"]
    assert done.codes == {"lock_held", "query_waited"}
    assert all("CONCURRENTLY" in breach["solution"] for breach in done.report["breaches"])


def test_a_concurrent_index_keeps_nobody_out(stage: Stage) -> None:
    stage.project.revision(
        "b1",
        START,
        "with op.get_context().autocommit_block():\n"
        '    op.execute("CREATE INDEX CONCURRENTLY shelf_place ON shelf (place)")',
    )

    done = stage.rehearse("--data", "synthetic")

    assert done.status == 0, done.out
    index = done.statement(1)
    assert index["in_transaction"] is False
    assert index["scans"] is None
    assert index["indexes_built"] == ["public.shelf_place"]
    assert [lock for lock in index["locks"] if lock["blocks"]] == []
    assert done.report["waits"] == []


def test_what_a_concurrent_index_waits_for_is_shown(stage: Stage) -> None:
    stage.project.revision(
        "b1",
        START,
        """\
        import threading
        with op.get_context().autocommit_block():
            named = {"application_name": "old report"}
            old = sa.create_engine(op.get_bind().engine.url, isolation_level="REPEATABLE READ", connect_args=named)
            report = old.connect()
            report.exec_driver_sql("SELECT 1")
            threading.Timer(1.0, report.close).start()
            op.execute("CREATE INDEX CONCURRENTLY shelf_place ON shelf (place)")
        """,
    )

    done = stage.rehearse()

    assert done.status == 0, done.out
    index = done.statement(2)
    assert index["locks"][0]["mode"] == "SHARE UPDATE EXCLUSIVE"
    (wait,) = [wait for wait in index["migrator_waits"] if "old report" in wait["behind"]]
    assert wait["event"] == "virtualxid"
    assert wait["ms"] > 300
    assert index["waits"] == {"readers": 0, "writers": 0, "longest_ms": 0.0}


def test_set_not_null_reads_the_whole_table_under_its_lock(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("ALTER TABLE shelf ALTER COLUMN place SET NOT NULL"))

    done = stage.rehearse("--budget-rewrite-rows", str(ROWS - 1))

    assert done.status == 5
    (scan,) = done.statement(1)["scans"]
    assert (scan["table"], scan["under"], scan["source_rows"]) == ("public.shelf", "ACCESS EXCLUSIVE", ROWS)
    assert scan["rows_read"] == 0, "the table is empty here, and the report must not pretend otherwise"
    assert done.codes == {"table_scanned"}
    assert stage.rehearse("--budget-rewrite-rows", str(ROWS)).status == 0


def test_made_up_rows_are_really_read(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("ALTER TABLE shelf ADD CHECK (id > 0)"))

    done = stage.rehearse("--data", "synthetic", "--max-rows", "500")

    (scan,) = done.statement(1)["scans"]
    assert (scan["rows_read"], scan["source_rows"]) == (500, ROWS)


def test_rows_that_an_update_keeps_locked_hold_up_writers_alone(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("UPDATE shelf SET place = place + 1", "SELECT pg_sleep(1)"))

    done = stage.rehearse("--data", "synthetic", "--max-rows", "100")

    assert done.status == 5
    assert {wait["kind"] for wait in done.report["waits"]} == {"write"}
    assert {wait["table"] for wait in done.report["waits"]} == {"public.shelf"}
    assert done.codes == {"query_waited"}


def test_what_a_migration_runs_past_sqlalchemy_is_reported_as_such(stage: Stage) -> None:
    stage.project.revision(
        "b1",
        START,
        'raw = op.get_bind().connection.cursor()\nraw.execute("LOCK TABLE shelf")\nop.execute("SELECT pg_sleep(0.8)")',
    )

    done = stage.rehearse()

    assert done.status == 5
    unseen = done.statement(1)
    assert unseen["sql"].startswith("(something that did not go through SQLAlchemy")
    assert unseen["strongest_lock"]["mode"] == "ACCESS EXCLUSIVE"
    assert unseen["strongest_lock"]["held_ms"] >= 700


def test_the_whole_upgrade_has_a_budget_where_one_is_given(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("SELECT pg_sleep(0.3)"))

    assert stage.rehearse().status == 0
    done = stage.rehearse("--budget-duration-s", "0.2")

    assert done.status == 5
    assert done.codes == {"duration"}


def test_each_revision_has_a_transaction_and_its_locks_end_with_it(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("ALTER TABLE shelf ADD COLUMN one int"))
    stage.project.revision("b2", "b1", _statements("SELECT pg_sleep(1)"))

    done = stage.rehearse("--budget-lock-ms", "900")

    assert done.status == 0, done.out
    assert done.statement(1)["strongest_lock"]["held_ms"] < 900
    assert done.report["revisions"] == ["b1", "b2"]


def test_code_that_still_runs_would_miss_a_renamed_table(stage: Stage) -> None:
    stage.project.revision("b1", START, _statements("ALTER TABLE book RENAME TO volume"))
    stage.project.revision("b2", "b1", _statements("SELECT pg_sleep(0.5)"))

    done = stage.rehearse()

    assert any("public.book failed" in note and "42P01" in note for note in done.report["notes"])


def test_nothing_pending_is_nothing_to_rehearse(stage: Stage) -> None:
    done = stage.rehearse(as_json=False)

    assert done.status == 0
    assert done.out.rstrip().endswith("nothing to rehearse: the database is at the code's heads")
