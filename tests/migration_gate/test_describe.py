"""What a project says of itself, asked in a child process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import psycopg
import pytest

from migration_gate import describe
from migration_gate.description import Description
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.project import ProjectNotDescribed, description_of
from migration_gate.tables import VersionTable
from migration_gate.withheld import withheld
from tests.databases import Database
from tests.migration_gate.scratch import ENV, HISTORY, Project, succeed, tables, until
from tests.processes import ROOT, run

AWAY = "postgresql://owner:s3cret@127.0.0.1:9/library"  # where nothing listens


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """A project without migrations, whose database is away."""
    return Project(tmp_path / "project", AWAY)


@pytest.fixture
def books(bare: Project) -> Project:
    bare.write_history()
    return bare


def _describe(project: Project, *arguments: str, **variables: str) -> CompletedProcess[str]:
    command = (sys.executable, "-m", "migration_gate.describe", "--config", str(project.folder / "alembic.ini"))
    return run(*command, *arguments, env=project.environment(variables), cwd=project.folder)


def _described(project: Project, **variables: str) -> Description:
    return Description.from_json(_describe(project, "--json", "--with-address", **variables).stdout)


def test_it_tells_the_graph_the_version_table_the_address_and_a_statement_for_each_table(books: Project) -> None:
    description = _described(books)

    assert description.expected.heads == (HISTORY[-1],)
    assert tuple(description.expected.revisions) == HISTORY
    assert description.version_table == VersionTable()
    assert description.address == "postgresql+psycopg://owner:s3cret@127.0.0.1:9/library"
    assert {name: " ".join(sql.split()) for name, sql in description.statements.items()} == {
        "table:book": "SELECT book.id, book.title FROM book WHERE false",
        "table:shelf": "SELECT shelf.id, shelf.label FROM shelf WHERE false",
    }
    assert Description.from_json(description.as_json()) == description


def test_the_password_is_shown_to_nobody_who_does_not_ask_for_it(books: Project) -> None:
    for arguments in ((), ("--json",)):
        told = succeed(_describe(books, *arguments))
        assert "s3cret" not in told
        assert "owner:***@127.0.0.1" in told


def test_a_version_table_of_another_name_is_told(tmp_path: Path) -> None:
    options = ', version_table="books_version", version_table_schema="registry"'
    project = Project(tmp_path / "project", AWAY, options=options)

    assert _described(project).version_table == VersionTable("books_version", "registry")


NOISE = """
import atexit, os, subprocess, sys
print("noise of print")
os.write(1, b"noise of a C library\\n")
subprocess.run(["echo", "noise of a child"])
atexit.register(print, "noise at the end")
"""


def test_what_env_py_writes_is_kept_away_from_the_answer(books: Project) -> None:
    books.write_env(NOISE + ENV.format(options=""))

    done = _describe(books, "--json")

    assert Description.from_json(done.stdout.split("\n", 1)[0]).expected.heads == (HISTORY[-1],)
    assert "noise of a C library" in done.stderr
    assert "noise of a child" in done.stderr
    assert json.loads(done.stdout.splitlines()[0])["format"] == 1


def test_the_env_py_of_alembics_own_template_will_do_and_its_database_is_not_asked(tmp_path: Path) -> None:
    folder = tmp_path / "stock"
    folder.mkdir()
    succeed(run(sys.executable, "-m", "alembic", "init", "migrations", cwd=folder))
    ini = folder / "alembic.ini"
    address = "postgresql+asyncpg://owner:s3cret@127.0.0.1:9/library"
    ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", address))
    env = folder / "migrations" / "env.py"
    models = (
        "import sqlalchemy\ntarget_metadata = sqlalchemy.MetaData()\n"
        "sqlalchemy.Table('pen', target_metadata, sqlalchemy.Column('ink', sqlalchemy.Text))"
    )
    env.write_text(env.read_text().replace("target_metadata = None", models))

    done = run(
        sys.executable, "-m", "migration_gate.describe", "--json", "--with-address",
        env={"PYTHONPATH": str(ROOT)}, cwd=folder,
    )  # fmt: skip

    description = Description.from_json(done.stdout)
    assert list(description.statements) == ["table:pen"]
    assert description.address == "postgresql+psycopg://owner:s3cret@127.0.0.1:9/library"
    assert description.expected.heads == ()


ONLINE_ONLY = """
from alembic import context
import sqlalchemy as sa
from models import metadata

if context.is_offline_mode():
    raise SystemExit("no offline mode here")
engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, version_table="of_the_books")
    with context.begin_transaction():
        context.run_migrations()
"""


def test_an_env_py_without_an_offline_mode_is_run_online_and_changes_nothing(
    tmp_path: Path, empty_database: Database
) -> None:
    address = f"sqlalchemy.url = {sqlalchemy_url(empty_database.migrator_url)}\n"
    project = Project(tmp_path / "project", empty_database.migrator_url, ini=address)
    project.write_history()
    project.write_env(ONLINE_ONLY)

    description = _described(project)

    assert description.version_table == VersionTable("of_the_books")
    assert set(description.statements) == {"table:book", "table:shelf"}
    assert tables(empty_database) == set()


ODD_MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("Order", metadata, sa.Column("50% off", sa.Text), sa.Column('a "b"', sa.Text), sa.Column("select", sa.Text))
sa.Table("item", metadata, sa.Column("id", sa.BigInteger), schema="stock_2026")
sa.Table("nothing", metadata)
"""


def test_the_statements_run_whatever_the_names_and_need_every_column(tmp_path: Path, empty_database: Database) -> None:
    project = Project(tmp_path / "project", empty_database.migrator_url)
    (project.folder / "models.py").write_text(ODD_MODELS)
    empty_database.execute('CREATE TABLE "Order" ("50% off" text, "a ""b""" text, "select" text)')
    empty_database.execute("CREATE SCHEMA stock_2026")
    empty_database.execute("CREATE TABLE stock_2026.item (id bigint)")

    statements = _described(project).statements

    assert set(statements) == {"table:Order", "table:stock_2026.item"}
    with psycopg.connect(empty_database.migrator_url, autocommit=True) as connection:
        for sql in statements.values():
            assert connection.execute(sql.encode()).fetchall() == []
        connection.execute('ALTER TABLE "Order" DROP COLUMN "50% off"')
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute(statements["table:Order"].encode())


def test_files_that_form_no_graph_are_told_beside_the_rest(books: Project) -> None:
    books.revision("0bad", "gone")

    description = _described(books)

    assert description.lock is None
    assert "gone" in (description.expected.fault or "")
    assert "table:book" in description.statements


def test_it_is_a_verb_of_the_command_line_that_no_help_tells_of() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="alembic.ini")
    describe.add_parser(parser.add_subparsers(metavar="VERB"))

    for arguments in (["describe", "--json", "--config", "other.ini"], ["--config", "other.ini", "describe", "--json"]):
        options = parser.parse_args(arguments)
        assert options.run is describe.run
        assert (options.config, options.json, options.with_address) == ("other.ini", True, False)
    assert parser.parse_args(["describe"]).config == "alembic.ini"
    assert "describe" not in parser.format_help()


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ("raise RuntimeError('no vault at postgresql://owner:s3cret@h/d')", "RuntimeError: no vault"),
        ("import modelz", "No module named 'modelz'"),
        ("import sys; sys.exit('not here')", "SystemExit: not here"),
        ("pass", "env.py ended without calling"),
        ("def (", "SyntaxError"),
    ],
)
async def test_an_env_py_that_fails_is_told_in_one_line_without_its_secrets(
    books: Project, env: str, reason: str
) -> None:
    books.write_env(env)

    with pytest.raises(ProjectNotDescribed) as error:
        await description_of(books.folder / "alembic.ini")

    assert error.value.message.startswith("env.py could not be run: ")
    assert reason in error.value.message
    assert "s3cret" not in error.value.message
    assert "\n" not in error.value.message
    assert f"migration_gate describe --config {books.folder / 'alembic.ini'}" in error.value.solution


async def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotDescribed, match=r"There is no .*alembic\.ini"):
        await description_of(tmp_path / "alembic.ini")


async def test_a_child_that_is_killed_is_told_by_its_status(books: Project) -> None:
    books.write_env("import os; os.kill(os.getpid(), 9)")

    with pytest.raises(ProjectNotDescribed, match="its process ended with -9 and no word"):
        await description_of(books.folder / "alembic.ini")


SLEEPER = "import time, pathlib; pathlib.Path(__file__).with_name('asleep').touch(); time.sleep(600)"


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


async def test_an_env_py_that_does_not_end_is_given_up_and_ended(books: Project) -> None:
    books.write_env(SLEEPER)
    before = len(_children())
    started = time.monotonic()

    with pytest.raises(ProjectNotDescribed, match=r"did not end within 0\.5 s"):
        await description_of(books.folder / "alembic.ini", patience_s=0.5)

    assert time.monotonic() - started < 10
    until(lambda: len(_children()) == before)


async def test_who_stops_asking_leaves_no_child_and_nobody_sees_the_address(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", AWAY)
    books.write_env(SLEEPER)
    before = len(_children())
    asking = asyncio.create_task(description_of(books.folder / "alembic.ini"))
    await asyncio.to_thread(until, (books.migrations / "asleep").exists)

    assert "s3cret" not in str([child.cmdline() for child in _children()])
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    await asyncio.to_thread(until, lambda: len(_children()) == before)


async def test_a_folder_of_the_projects_does_not_stand_in_for_a_library(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (books.folder / "alembic").mkdir()
    (books.folder / "alembic" / "__init__.py").write_text("raise ImportError('the wrong alembic')")
    monkeypatch.chdir(books.folder)
    monkeypatch.syspath_prepend("")

    description = await description_of(Path("alembic.ini"))

    assert description.expected.heads == (HISTORY[-1],)


async def test_a_child_that_says_something_else_is_no_description(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migration_gate.project._command", lambda _: [sys.executable, "-c", "print('{}')"])

    with pytest.raises(ProjectNotDescribed, match="is no description"):
        await description_of(books.folder / "alembic.ini")


async def test_a_python_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(ProjectNotDescribed, match="no process could be started"):
        await description_of(Path("alembic.ini"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("at postgresql://owner:s3cret@h/d, twice", "at postgresql://***@h/d, twice"),
        ("postgresql://owner:s3:c@r/et@h/d", "postgresql://***@h/d"),
        ("host=h password=s3cret user=u", "host=h password=*** user=u"),
        ("{'password': 's3cret'}", "{'password': ***}"),
        ('token="s3 cret"', "token=***"),
        ("nothing to hide: 12:30", "nothing to hide: 12:30"),
    ],
)
def test_passwords_are_withheld(text: str, kept: str) -> None:
    assert withheld(text) == kept
    assert os.linesep not in withheld(text)
