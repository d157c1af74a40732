"""Which changes by hand are told of a schema, and which belong to whoever operates the database."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, pool

from migration_gate.catalog import Catalog, catalog, differences
from migration_gate.connection import read
from migration_gate.postgres.url import sqlalchemy_url
from tests.databases import Database

BOOKS = "CREATE TABLE book (id int PRIMARY KEY, title text); CREATE INDEX book_title ON book (title) WHERE id > 0;"
LOANS = (
    "CREATE TABLE reader (id int PRIMARY KEY, sponsor int REFERENCES reader) PARTITION BY RANGE (id);"
    " CREATE TABLE reader_1 PARTITION OF reader FOR VALUES FROM (0) TO (10);"
    " CREATE TABLE loan (reader int REFERENCES reader)"
)
AUDIT = (
    "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    " CREATE TRIGGER audit AFTER INSERT ON book FOR EACH ROW EXECUTE FUNCTION audit()"
)


def _told(database: Database, schema: str, *by_hand: str) -> tuple[str, ...]:
    database.execute(schema)
    before = _catalog(database)
    for statement in by_hand:
        database.execute(statement)
    return differences(before, _catalog(database))


def _catalog(database: Database) -> Catalog:
    engine = create_engine(sqlalchemy_url(database.migrator_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        found: Catalog = read(connection, catalog(["public"], "alembic_version"))
    return found


@pytest.mark.parametrize(
    ("schema", "by_hand"),
    [
        (BOOKS, "ALTER INDEX book_title SET (fillfactor = 70)"),
        (BOOKS, "REINDEX INDEX CONCURRENTLY book_title"),
        (BOOKS, "CREATE STATISTICS book_words ON id, title FROM book"),
        (LOANS, "CREATE TABLE reader_2 PARTITION OF reader FOR VALUES FROM (10) TO (20)"),
        (LOANS, "ALTER TABLE reader DETACH PARTITION reader_1; DROP TABLE reader_1"),
    ],
    ids=["storage parameters", "an index built anew", "statistics", "a new partition", "a partition that is gone"],
)
def test_what_an_operator_does_is_no_change_of_the_schema(empty_database: Database, schema: str, by_hand: str) -> None:
    assert _told(empty_database, schema, by_hand) == ()


@pytest.mark.parametrize(
    ("schema", "by_hand", "told"),
    [
        (BOOKS, "CREATE RULE silent AS ON INSERT TO book DO INSTEAD NOTHING", "rule public.book.silent was added"),
        (
            BOOKS + "CREATE POLICY readers ON book TO taskmanager_app USING (true)",
            "ALTER POLICY readers ON book TO PUBLIC",
            "policy public.book.readers was * to taskmanager_app using true and is * to PUBLIC using true",
        ),
        (BOOKS + AUDIT, "ALTER TABLE book ENABLE REPLICA TRIGGER audit", "trigger public.book.audit was"),
        (
            "CREATE DOMAIN label AS text DEFAULT 'new'",
            "ALTER DOMAIN label SET DEFAULT 'old'",
            "type public.label was text default 'new'::text and is text default 'old'::text",
        ),
        (
            BOOKS + "CREATE VIEW titles AS SELECT title FROM book",
            "ALTER VIEW titles SET (security_invoker = true)",
            "view public.titles was",
        ),
        (
            BOOKS + "CREATE TABLE rare_book (id int NOT NULL, title text)",
            "ALTER TABLE rare_book INHERIT book",
            "table public.rare_book was  and is inherits public.book",
        ),
    ],
    ids=["a rule", "a policy's roles", "when a trigger fires", "a domain's default", "a view's rights", "inheritance"],
)
def test_a_change_by_hand_is_told(empty_database: Database, schema: str, by_hand: str, told: str) -> None:
    (sentence,) = _told(empty_database, schema, by_hand)

    assert sentence.startswith(told)


def test_a_rule_is_gone_with_its_table_in_one_sentence(empty_database: Database) -> None:
    schema = BOOKS + "CREATE RULE silent AS ON INSERT TO book DO INSTEAD NOTHING"

    assert _told(empty_database, schema, "DROP TABLE book") == ("table public.book is gone",)
