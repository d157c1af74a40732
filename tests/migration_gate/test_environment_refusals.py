"""Which databases `alembic upgrade` refuses to touch, and how it finds the database."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import BOOK, SHELF, TITLE_INDEX, Project, applied, succeed, tables, versions


def _state(database: Database) -> object:
    """All that a refused run must leave alone."""
    found = tables(database)
    return found, [(name, database.execute(f"SELECT * FROM {name}")) for name in sorted(found)]


def _unversioned(project: Project, database: Database) -> None:
    database.execute("CREATE TABLE shelf (id int)")


def _ahead(project: Project, database: Database) -> None:
    path = project.sql("1111", TITLE_INDEX, "CREATE TABLE loan (id int)")
    succeed(project.alembic("upgrade", "head"))
    path.unlink()


def _diverged(project: Project, database: Database) -> None:
    succeed(project.alembic("upgrade", SHELF))
    path = project.sql("2222", SHELF, "CREATE TABLE loan (id int)", more='branch_labels = "loans"')
    other = project.sql("left", TITLE_INDEX, "SELECT 1", more='branch_labels = "books"')
    succeed(project.alembic("upgrade", "2222"))
    path.unlink()
    other.unlink()


def _unknown(project: Project, database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    database.execute("UPDATE alembic_version SET version_num = '9999'")


UPGRADE, DOWNGRADE = ("upgrade", "heads"), ("downgrade", "base")


@pytest.mark.parametrize(
    ("arrange", "state", "command"),
    [
        (_unversioned, "unversioned", UPGRADE),
        (_unversioned, "unversioned", DOWNGRADE),
        (_ahead, "ahead_compatible", DOWNGRADE),
        (_diverged, "diverged", UPGRADE),
        (_diverged, "diverged", DOWNGRADE),
        (_unknown, "diverged", UPGRADE),
        (_unknown, "diverged", DOWNGRADE),
    ],
)
def test_a_database_that_cannot_be_placed_is_refused_and_nothing_is_touched(
    project: Project, empty_database: Database, arrange: object, state: str, command: tuple[str, str]
) -> None:
    arrange(project, empty_database)  # type: ignore[operator]
    before = _state(empty_database)

    refused = project.alembic(*command)

    assert refused.returncode != 0
    assert f"Nothing was touched, the schema's state is {state}" in refused.stdout + refused.stderr
    assert "Solution: " in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert _state(empty_database) == before


@pytest.mark.parametrize("arrange", [_unversioned, _diverged], ids=["unversioned", "diverged"])
def test_the_gates_own_upgrade_refuses_with_its_own_exit_status(
    project: Project, empty_database: Database, arrange: object
) -> None:
    arrange(project, empty_database)  # type: ignore[operator]

    refused = project.gate("upgrade")

    assert refused.returncode == 3
    assert "Nothing was touched" in refused.stderr


def test_a_stamp_is_never_refused_since_it_is_how_a_database_is_placed(
    project: Project, empty_database: Database
) -> None:
    _unknown(project, empty_database)

    succeed(project.alembic("stamp", "--purge", "head"))

    assert versions(empty_database) == [TITLE_INDEX]


@pytest.mark.parametrize(
    "spelling",
    ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg", "POSTGRESQL"],
)
def test_every_spelling_of_the_address_reaches_the_database(
    project: Project, empty_database: Database, spelling: str
) -> None:
    url = empty_database.migrator_url.replace("postgresql://", f"{spelling}://")

    succeed(project.alembic("upgrade", SHELF, MIGRATION_DATABASE_URL=url))

    assert versions(empty_database) == [SHELF]


NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def _quoted(url: str) -> str:
    return url.replace("%", "%%")


@pytest.mark.parametrize("source", ["url=", "MIGRATION_DATABASE_URL", "DATABASE_URL", "sqlalchemy.url"])
def test_the_first_of_four_places_that_names_a_database_is_used(
    project: Project, empty_database: Database, source: str
) -> None:
    url = empty_database.migrator_url
    places = ["url=", "MIGRATION_DATABASE_URL", "DATABASE_URL", "sqlalchemy.url"]
    named = dict.fromkeys(places[: places.index(source)], "") | {source: url}
    named |= dict.fromkeys(places[places.index(source) + 1 :], NOWHERE)
    ini = project.folder / "alembic.ini"
    ini.write_text(
        ini.read_text().replace("[alembic]", f"[alembic]\nsqlalchemy.url = {_quoted(named['sqlalchemy.url'])}")
    )
    project.write_env(
        "from migration_gate.environment import run\n"
        "from models import metadata\n"
        f"run(metadata, url={named['url='] or None!r}, database_deadline_s=0)\n"
    )

    variables = {name: named[name] for name in ("MIGRATION_DATABASE_URL", "DATABASE_URL")}
    succeed(project.alembic("upgrade", SHELF, **variables))

    assert versions(empty_database) == [SHELF]


def test_without_any_address_the_error_tells_what_to_set(project: Project) -> None:
    failed = project.alembic("upgrade", "head", MIGRATION_DATABASE_URL="")

    assert failed.returncode != 0
    assert "No database is named" in failed.stdout + failed.stderr
    assert "export DATABASE_URL=postgresql://" in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    "url", ["sqlite:///books.db", "mysql://u:s3cret@h/d", "books", "postgresql://u:s3cret@h:port/d"]
)
def test_an_address_of_something_else_is_an_error_without_the_password(project: Project, url: str) -> None:
    failed = project.alembic("upgrade", "head", MIGRATION_DATABASE_URL=url)

    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr
    assert "database address" in failed.stdout + failed.stderr
    assert "s3cret" not in failed.stdout + failed.stderr


def test_the_version_table_and_its_schema_can_be_named(bare_project: Project, empty_database: Database) -> None:
    bare_project.write_history()
    empty_database.execute("CREATE SCHEMA books")
    bare_project.write_env(
        """\
        from migration_gate.environment import run
        from models import metadata

        run(metadata, version_table="edition", version_table_schema="books")
        """
    )

    succeed(bare_project.alembic("upgrade", "head"))

    assert empty_database.execute("SELECT version_num FROM books.edition") == [(TITLE_INDEX,)]
    ledger = empty_database.execute("SELECT revision FROM books.migration_gate_revision ORDER BY id")
    assert ledger == [(SHELF,), (BOOK,), (TITLE_INDEX,)]
    assert tables(empty_database) >= {"shelf", "book"}
    assert bare_project.gate("status").returncode == 0
    assert "No new upgrade operations" in succeed(bare_project.alembic("check"))
    succeed(bare_project.alembic("downgrade", "base"))
    assert applied_in(empty_database, "books") == 6


def applied_in(database: Database, schema: str) -> object:
    return database.execute(f"SELECT count(*) FROM {schema}.migration_gate_revision")[0][0]


def test_a_lower_revision_can_be_asked_for_while_behind(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", SHELF))
    succeed(project.alembic("upgrade", "+1"))

    assert applied(empty_database) == [(SHELF, "upgrade"), (BOOK, "upgrade")]
