"""Migrations that fail, lie, or leave a transaction open."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import (
    BOOK,
    SHELF,
    TITLE_INDEX,
    Project,
    applied,
    runs,
    succeed,
    tables,
    versions,
)

SECRET = "hunter2@example.org"


def _last_error(database: Database) -> str:
    return str(database.execute("SELECT error FROM migration_gate_run ORDER BY id DESC LIMIT 1")[0][0])


def test_a_revision_that_fails_leaves_neither_its_table_nor_its_row_and_keeps_the_one_before(
    bare_project: Project, empty_database: Database
) -> None:
    bare_project.sql(SHELF, None, "CREATE TABLE shelf (id int)")
    bare_project.revision(BOOK, SHELF, 'op.execute("CREATE TABLE book (id int)")\nop.execute("SELECT no_such_column")')

    failed = bare_project.alembic("upgrade", "head")

    assert failed.returncode != 0
    assert {"shelf", "book"} & tables(empty_database) == {"shelf"}
    assert versions(empty_database) == [SHELF]
    assert applied(empty_database) == [(SHELF, "upgrade")]
    assert runs(empty_database) == [("upgrade", "failed")]
    assert _last_error(empty_database) == 'column "no_such_column" does not exist (SQLSTATE 42703)'
    unended = empty_database.execute("SELECT count(*) FROM migration_gate_run WHERE ended_at IS NULL")
    assert unended == [(0,)]


def test_the_ledger_keeps_the_error_and_no_value_of_the_data(bare_project: Project, empty_database: Database) -> None:
    insert = "op.execute(sa.text('INSERT INTO reader VALUES (:mail)').bindparams(mail={!r}))"
    body = "op.execute('CREATE TABLE reader (mail text UNIQUE)')\n" + "\n".join([insert.format(SECRET)] * 2)
    bare_project.revision(SHELF, None, body)

    failed = bare_project.alembic("upgrade", "head")

    assert failed.returncode != 0
    assert "SQLSTATE 23505" in _last_error(empty_database)
    assert SECRET not in str(empty_database.execute("SELECT * FROM migration_gate_run"))


def test_an_error_of_python_is_recorded_by_its_kind_alone(bare_project: Project, empty_database: Database) -> None:
    bare_project.revision(SHELF, None, f"raise LookupError({SECRET!r})")

    assert bare_project.alembic("upgrade", "head").returncode != 0

    assert _last_error(empty_database) == "LookupError"


def test_a_mended_revision_goes_on_where_the_failed_one_stopped(project: Project, empty_database: Database) -> None:
    project.sql("1bad", TITLE_INDEX, "SELECT no_such_column")
    assert project.alembic("upgrade", "head").returncode != 0

    project.sql("1bad", TITLE_INDEX, "CREATE TABLE loan (id int)")
    succeed(project.alembic("upgrade", "head"))

    assert versions(empty_database) == ["1bad"]
    assert runs(empty_database) == [("upgrade", "failed"), ("upgrade", "succeeded")]
    assert [row[0] for row in applied(empty_database)].count("1bad") == 1


def test_the_lock_is_free_after_a_failure(bare_project: Project, empty_database: Database) -> None:
    bare_project.sql(SHELF, None, "SELECT no_such_column")
    assert bare_project.alembic("upgrade", "head").returncode != 0

    held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    assert empty_database.execute(f"{held} WHERE locktype = 'advisory' AND datname = current_database()") == [(0,)]


@pytest.mark.parametrize("form", ["on_version_apply=note", "on_version_apply=[note]", "on_version_apply=(note, note)"])
def test_the_projects_own_on_version_apply_is_still_called(
    project: Project, empty_database: Database, form: str
) -> None:
    project.write_env(
        f"""\
        import pathlib
        from migration_gate.environment import run
        from models import metadata

        def note(*, ctx, step, heads, run_args, **_):
            with pathlib.Path("called").open("a") as file:
                print(step.up_revision_id, *heads, file=file)

        run(metadata, {form})
        """
    )

    succeed(project.alembic("upgrade", "head"))

    times = 2 if "note, note" in form else 1
    called = (project.folder / "called").read_text().splitlines()
    assert called == [f"{id_} {id_}" for id_ in (SHELF, BOOK, TITLE_INDEX) for _ in range(times)]
    assert len(applied(empty_database)) == 3


LYING_ENV = """\
from migration_gate.environment import run
from models import metadata

def lose(*, ctx, **_):
    ctx.connection.exec_driver_sql("ROLLBACK")

run(metadata, on_version_apply=lose)
"""


def test_a_success_that_a_new_connection_does_not_see_is_a_failure(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    project.sql("1105", TITLE_INDEX, "CREATE TABLE loan (id int)")
    project.write_env(LYING_ENV)

    failed = project.alembic("upgrade", "head")

    assert failed.returncode != 0
    assert f"Alembic reported 1105 and a new connection sees {TITLE_INDEX}" in failed.stdout + failed.stderr
    assert "loan" not in tables(empty_database)
    assert len(applied(empty_database)) == 3
    assert runs(empty_database)[-1] == ("upgrade", "failed")


def test_the_gates_own_upgrade_has_an_exit_status_for_such_a_success(bare_project: Project) -> None:
    bare_project.sql(SHELF, None, "CREATE TABLE shelf (id int)")
    bare_project.write_env(LYING_ENV)

    failed = bare_project.gate("upgrade")

    assert failed.returncode == 4
    assert "a new connection sees no revision" in failed.stderr


def test_a_migration_that_rolls_its_own_transaction_back_is_not_recorded_as_applied(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    project.revision("1105", TITLE_INDEX, 'op.execute("CREATE TABLE loan (id int)")\nop.execute("ROLLBACK")')

    failed = project.gate("upgrade")

    assert failed.returncode == 4
    assert "1105" in failed.stderr
    assert versions(empty_database) == [TITLE_INDEX]
    assert len(applied(empty_database)) == 3
    assert runs(empty_database)[-1] == ("upgrade", "failed")


def test_a_migration_that_commits_by_itself_before_it_goes_on_is_applied(
    project: Project, empty_database: Database
) -> None:
    project.revision("1105", TITLE_INDEX, 'op.execute("CREATE TABLE loan (id int)")\nop.execute("COMMIT")')

    succeed(project.gate("upgrade"))

    assert "loan" in tables(empty_database)
    assert versions(empty_database) == ["1105"]


@pytest.mark.parametrize("options", ["transaction_per_migration=False", "transactional_ddl=True"])
def test_options_that_would_change_where_a_commit_happens_do_not(
    project: Project, empty_database: Database, options: str
) -> None:
    project.write_env(
        f"from migration_gate.environment import run\nfrom models import metadata\nrun(metadata, {options})"
    )
    project.sql("1bad", TITLE_INDEX, "SELECT no_such_column")

    assert project.alembic("upgrade", "head").returncode != 0

    assert versions(empty_database) == [TITLE_INDEX]
    assert len(applied(empty_database)) == 3


def test_a_transaction_that_env_py_leaves_open_is_not_the_one_that_migrates(
    project: Project, empty_database: Database
) -> None:
    project.write_env(
        """\
        import os

        import sqlalchemy as sa
        from migration_gate.environment import run
        from migration_gate.postgres.url import sqlalchemy_url
        from models import metadata

        connection = sa.create_engine(sqlalchemy_url(os.environ["MIGRATION_DATABASE_URL"])).connect()
        connection.execute(sa.text("SELECT pg_advisory_lock(1)"))
        run(metadata)
        """
    )

    succeed(project.alembic("upgrade", "head"))

    assert versions(empty_database) == [TITLE_INDEX]
    assert {"shelf", "book"} <= tables(empty_database)


@pytest.mark.parametrize("command", ["alembic", "migration-gate"])
def test_a_migration_that_ends_the_process_is_a_failure_whatever_status_it_asks_for(
    project: Project, empty_database: Database, command: str
) -> None:
    project.revision("cafe", TITLE_INDEX, 'op.execute("CREATE TABLE loan (id int)")\nimport sys\nsys.exit(0)')

    ended = project.alembic("upgrade", "head") if command == "alembic" else project.gate("upgrade")

    assert ended.returncode == (255 if command == "alembic" else 1)
    assert "ended the process" in ended.stdout + ended.stderr
    assert versions(empty_database) == [TITLE_INDEX]
    assert "loan" not in tables(empty_database)
    assert runs(empty_database)[-1] == ("upgrade", "failed")


def test_what_a_failed_migration_made_on_a_connection_of_its_own_is_named(project: Project) -> None:
    succeed(project.alembic("upgrade", "head"))
    project.revision(
        "cafe",
        TITLE_INDEX,
        "with sa.create_engine(op.get_bind().engine.url).begin() as other:\n"
        '    other.exec_driver_sql("CREATE TABLE loan (id int)")\n'
        'op.execute("SELECT no_such_column")',
    )
    assert project.alembic("upgrade", "head").returncode != 0

    assert "table public.loan was added" in project.gate("status").stdout
    refused = project.alembic("upgrade", "head")
    assert "drifted" in refused.stdout + refused.stderr
