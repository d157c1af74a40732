from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from stack.errors import StackError
from stack.postgres import (
    Cluster,
    Database,
    create_database,
    drop_database,
    ensure_database,
    temporary_cluster,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with temporary_cluster() as cluster:
        yield cluster


@pytest.fixture
def database(server: Cluster) -> Database:
    """With a table the migrator made."""
    made = ensure_database(server)
    with psycopg.connect(made.migrator_url) as migrator:
        migrator.execute("DROP TABLE IF EXISTS tasks")
        migrator.execute("CREATE TABLE tasks (id bigserial PRIMARY KEY, title text)")
    return made


def test_app_reads_and_writes_rows(database: Database) -> None:
    with psycopg.connect(database.app_url) as app:
        app.execute("INSERT INTO tasks (title) VALUES ('a'), ('b')")
        app.execute("UPDATE tasks SET title = 'c' WHERE title = 'a'")
        app.execute("DELETE FROM tasks WHERE title = 'b'")
        assert app.execute("SELECT title FROM tasks").fetchall() == [("c",)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine ()",
        "DROP TABLE tasks",
        "TRUNCATE tasks",
        "ALTER TABLE tasks ADD extra text",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine ()",
    ],
)
def test_app_changes_no_schema(database: Database, statement: str) -> None:
    with psycopg.connect(database.app_url) as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement)


def test_ensuring_again_changes_nothing(server: Cluster, database: Database) -> None:
    assert ensure_database(server) == database
    with psycopg.connect(database.app_url) as app:
        app.execute("INSERT INTO tasks (title) VALUES ('kept')")
    ensure_database(server)
    with psycopg.connect(database.app_url) as app:
        assert app.execute("SELECT title FROM tasks").fetchall() == [("kept",)]


def test_copies_a_template_with_its_grants(server: Cluster, database: Database) -> None:
    copy = create_database(server, "copy", template=database.name)
    with psycopg.connect(copy.app_url) as app:
        app.execute("INSERT INTO tasks (title) VALUES ('in the copy')")
    with psycopg.connect(copy.migrator_url) as migrator:
        migrator.execute("CREATE TABLE later (id int)")
    with psycopg.connect(copy.app_url) as app:
        app.execute("INSERT INTO later VALUES (1)")
    drop_database(server, "copy")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(copy.app_url)


def test_making_an_existing_database_is_refused(server: Cluster, database: Database) -> None:
    with pytest.raises(StackError, match="already exists"):
        create_database(server, database.name)


def test_dropping_a_database_ends_its_connections(server: Cluster) -> None:
    made = create_database(server, "short-lived")
    with psycopg.connect(made.app_url) as app:
        drop_database(server, made.name)
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
