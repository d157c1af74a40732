"""Alembic's own commands through env.py, in a project of another shape than the task API."""

from __future__ import annotations

import pytest

from migration_gate.environment import Command
from migration_gate.tables import LEDGER_TABLES
from tests.databases import Database
from tests.migration_gate.scratch import (
    BOOK,
    HISTORY,
    SHELF,
    TITLE_INDEX,
    Project,
    applied,
    runs,
    succeed,
    tables,
    versions,
)


def test_upgrade_applies_every_revision_and_writes_each_into_the_ledger(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))

    assert tables(empty_database) == {"alembic_version", "shelf", "book"} | LEDGER_TABLES
    assert versions(empty_database) == [TITLE_INDEX]
    assert applied(empty_database) == [(revision, "upgrade") for revision in HISTORY]
    assert runs(empty_database) == [("upgrade", "succeeded")]
    rows = empty_database.execute("SELECT parents, checksum, applied_by FROM migration_gate_revision ORDER BY id")
    assert [row[0] for row in rows] == [[], [SHELF], [BOOK]]
    assert all(str(row[1]).startswith("code-sha256:") and str(row[2]).startswith("migration-gate ") for row in rows)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'book_title'::regclass"
    assert empty_database.execute(valid) == [(True,)]


def test_upgrade_of_a_current_database_adds_neither_a_run_nor_a_revision(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    succeed(project.alembic("upgrade", "head"))

    assert len(applied(empty_database)) == 3
    assert runs(empty_database) == [("upgrade", "succeeded")]


def test_downgrade_goes_back_and_is_added_to_the_ledger(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    succeed(project.alembic("downgrade", SHELF))

    assert versions(empty_database) == [SHELF]
    assert applied(empty_database)[3:] == [(TITLE_INDEX, "downgrade"), (BOOK, "downgrade")]

    succeed(project.alembic("downgrade", "base"))

    assert versions(empty_database) == []
    assert tables(empty_database) == {"alembic_version"} | LEDGER_TABLES
    assert runs(empty_database) == [("upgrade", "succeeded"), ("downgrade", "succeeded"), ("downgrade", "succeeded")]


def test_stamp_records_a_revision_without_running_it(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("stamp", "head"))

    assert versions(empty_database) == [TITLE_INDEX]
    assert "book" not in tables(empty_database)
    assert applied(empty_database) == [(TITLE_INDEX, "stamp")]
    assert runs(empty_database) == [("stamp", "succeeded")]


def test_stamp_base_records_that_nothing_of_the_tables_is_ours(project: Project, empty_database: Database) -> None:
    empty_database.execute("CREATE TABLE shelf_of_others (id int)")
    assert project.alembic("upgrade", "head").returncode != 0

    succeed(project.alembic("stamp", "base"))
    succeed(project.alembic("upgrade", "head"))

    assert versions(empty_database) == [TITLE_INDEX]


def test_ensure_version_creates_the_version_table(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("ensure_version"))

    assert versions(empty_database) == []
    assert runs(empty_database) == [("stamp", "succeeded")]


@pytest.mark.parametrize(
    "command", [("current",), ("current", "--verbose"), ("history",), ("history", "-i"), ("heads",), ("show", BOOK)]
)
def test_a_command_that_only_tells_creates_nothing(
    project: Project, empty_database: Database, command: tuple[str, ...]
) -> None:
    succeed(project.alembic(*command))

    assert tables(empty_database) == set()


def test_current_and_history_tell_where_the_database_is(project: Project) -> None:
    succeed(project.alembic("upgrade", BOOK))

    assert BOOK in project.alembic("current").stdout
    assert f"{SHELF} -> {BOOK} (current)" in project.alembic("history", "-i").stdout
    assert project.alembic("current", "--check-heads").returncode != 0


def test_check_and_autogenerate_find_nothing_on_a_current_schema(project: Project) -> None:
    succeed(project.alembic("upgrade", "head"))

    assert "No new upgrade operations detected" in succeed(project.alembic("check"))
    succeed(project.alembic("revision", "--autogenerate", "-m", "nothing", "--rev-id", "d0d0"))

    written = next((project.migrations / "versions").glob("d0d0*")).read_text()
    assert "migration_gate" not in written
    assert written.count("    pass\n") == 2


def test_check_is_red_where_a_model_has_no_migration(project: Project) -> None:
    succeed(project.alembic("upgrade", "head"))
    models = project.folder / "models.py"
    models.write_text(models.read_text() + '\nsa.Table("loan", metadata, sa.Column("id", sa.Integer))\n')

    red = project.alembic("check")

    assert red.returncode != 0
    assert "'loan'" in red.stdout + red.stderr


def test_the_projects_own_include_object_is_still_asked(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    empty_database.execute("CREATE TABLE kept_by_hand (id int)")
    empty_database.execute("CREATE TABLE forgotten (id int)")
    project.write_env(
        """\
        from migration_gate.environment import run
        from models import metadata

        def include(object_, name, type_, reflected, compare_to):
            return name != "kept_by_hand"

        run(metadata, include_object=include)
        """
    )

    red = project.alembic("check")

    assert "forgotten" in red.stdout + red.stderr
    assert "kept_by_hand" not in red.stdout + red.stderr
    assert "migration_gate_run" not in red.stdout + red.stderr


def test_offline_mode_prints_sql_on_stdout_and_asks_no_database(project: Project) -> None:
    done = project.alembic("upgrade", "head", "--sql", MIGRATION_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert done.returncode == 0
    assert done.stdout.startswith("BEGIN;")
    assert done.stdout.count("COMMIT;") >= 3
    assert f"SET version_num='{TITLE_INDEX}'" in done.stdout
    assert "migration_gate" not in done.stdout
    assert all(
        line == "" or line.startswith("--") or line[0] in " )" or line.split()[0].isupper()
        for line in done.stdout.splitlines()
    )


def test_offline_downgrade_prints_the_way_back(project: Project) -> None:
    done = project.alembic("downgrade", f"{BOOK}:{SHELF}", "--sql")

    assert done.returncode == 0
    assert "DROP TABLE book;" in done.stdout


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("upgrade", "head"), Command.UPGRADE),
        (("upgrade", "+1"), Command.UPGRADE),
        (("downgrade", "base"), Command.DOWNGRADE),
        (("downgrade", "-1"), Command.DOWNGRADE),
        (("stamp", "head"), Command.STAMP),
        (("stamp", "--purge", "head"), Command.STAMP),
        (("ensure_version",), Command.STAMP),
        (("current",), Command.READ),
        (("check",), Command.READ),
        (("history", "-i"), Command.READ),
        (("revision", "--autogenerate", "-m", "x"), Command.READ),
        (("show", "current"), Command.READ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.value,
)
def test_each_of_alembics_commands_is_recognised(project: Project, command: tuple[str, ...], kind: Command) -> None:
    succeed(project.alembic("upgrade", BOOK))
    project.write_env(
        """\
        import pathlib
        from alembic import context
        from migration_gate.environment import command_of, run
        from models import metadata

        try:
            run(metadata)
        finally:
            pathlib.Path("kind").write_text(command_of(context.get_context()).value)
        """
    )

    project.alembic(*command)

    assert (project.folder / "kind").read_text() == kind.value


@pytest.mark.parametrize("arguments", [("upgrade", "nope"), ("upgrade", "+3"), ("downgrade", "-9"), ("stamp", "nope")])
def test_a_target_that_does_not_exist_fails_and_is_no_run(
    project: Project, empty_database: Database, arguments: tuple[str, str]
) -> None:
    succeed(project.alembic("upgrade", "head"))

    assert project.alembic(*arguments).returncode != 0

    assert versions(empty_database) == [TITLE_INDEX]
    assert runs(empty_database) == [("upgrade", "succeeded")]


def test_a_stamp_downwards_takes_revisions_off_the_record(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    succeed(project.alembic("stamp", SHELF))

    assert versions(empty_database) == [SHELF]
    assert (TITLE_INDEX, "unstamp") in applied(empty_database)


def test_upgrading_with_the_code_of_the_release_before_leaves_a_newer_database_alone(
    project: Project, empty_database: Database
) -> None:
    newer = project.sql("9999", TITLE_INDEX, "CREATE TABLE newer (id int)")
    succeed(project.alembic("upgrade", "head"))
    newer.unlink()

    succeed(project.gate("upgrade"))

    assert versions(empty_database) == ["9999"]
