"""A project whose upgrade can be halted in the middle of each kind of step, so that it can be cut off there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from migration_gate.catalog import Catalog, catalog
from tests.databases import Database
from tests.migration_gate.scratch import Project, sessions

BASE = "f00d"
DDL, STATEMENT, INDEXES, ORDINARY, BATCHES = PENDING = ("beef", "0abc", "1111", "2222", "3333")

# Halted by a row, since the statement must be the same when it is run again, and outside the schema that is compared.
HALTING = """
    CREATE SCHEMA halting;
    CREATE TABLE halting.point (name text PRIMARY KEY);
    CREATE FUNCTION halting.here(at text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM halting.point WHERE name = at) LOOP PERFORM pg_sleep(0.05); END LOOP;
        RETURN true;
    END $$;
"""

_ENV = """\
import json
import pathlib
import time

from alembic import context
from migration_gate import proof
from migration_gate.catalog import catalog
from migration_gate.connection import read
from migration_gate.environment import AFTER_REVISION_ATTRIBUTE, run
from models import halt, metadata


def after(connection, revision):
    if pathlib.Path("note").exists():
        rows = connection.exec_driver_sql("SELECT jsonb_agg(b ORDER BY id)::text FROM book b").scalar_one()
        left = read(connection, catalog(("public",), "alembic_version"))
        pathlib.Path(f"note-{revision}.json").write_text(json.dumps([left.as_json(), rows]))
        connection.rollback()
    if revision == "beef":
        halt("between two revisions")


if not hasattr(proof, "unhalted"):
    proof.unhalted = proof.prove

    def prove(*arguments):
        halt("the proof")
        return proof.unhalted(*arguments)

    proof.prove = prove

context.config.attributes[AFTER_REVISION_ATTRIBUTE] = after
run(metadata, lock_deadline_s=120)
"""

_MODELS = """\
import pathlib
import time

import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("book", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("title", sa.Text))


def halt(point):
    while pathlib.Path(f"halt at {point}").exists():
        pathlib.Path(f"at {point}").touch()
        time.sleep(0.02)
"""

_BOOK = (
    "CREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL, sold int NOT NULL DEFAULT 0, isbn text);"
    " INSERT INTO book (title) SELECT 'Emma ' || n FROM generate_series(1, 40) n"
)
_DDL = """\
from models import halt

op.execute("ALTER TABLE book ADD COLUMN printed int")
halt("transactional DDL")
op.execute("ALTER TABLE book ADD COLUMN price int DEFAULT 7")
"""
_STATEMENT = """\
op.execute("ALTER TABLE book ADD COLUMN size int")
op.execute("SELECT halting.here('a long statement')")
op.execute("CREATE TABLE loan (id bigserial PRIMARY KEY, book bigint REFERENCES book)")
"""
_INDEXES = """\
op.execute("CREATE TABLE review (id bigserial PRIMARY KEY, book bigint, body text)")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY book_title ON book (title)")
    op.execute("CREATE INDEX CONCURRENTLY review_book ON review (book)")
op.execute("ALTER TABLE review ADD COLUMN stars int")
"""
_ORDINARY = """\
with op.get_context().autocommit_block():
    op.execute("UPDATE book SET sold = sold + 1 WHERE halting.here('an ordinary statement')")
"""
_BATCHES = """\
with op.get_context().autocommit_block():
    for first in range(1, 41, 10):
        op.execute(
            f"UPDATE book SET isbn = 'isbn ' || id WHERE id BETWEEN {first} AND {first + 9} AND isbn IS NULL"
            f" AND (id <> 21 OR halting.here('a batch'))"
        )
"""


@dataclass(frozen=True)
class Seen:
    """A database as others see it: its revision, its objects, and the rows of the table that migrations change."""

    revision: str
    objects: Mapping[str, str]
    rows: list[dict[str, Any]]

    def holds(self, objects: Mapping[str, str], rows: list[dict[str, Any]]) -> bool:
        return self.objects == objects and self.rows == rows


def base(folder: Path, url: str) -> Project:
    """The release in use."""
    project = Project(folder, url)
    (folder / "models.py").write_text(_MODELS)
    project.sql(BASE, None, _BOOK, "DROP TABLE book")
    return project


def next_release(folder: Path, url: str) -> Project:
    """Five revisions ahead of it, with a point to halt at in each kind of step."""
    project = base(folder, url)
    project.write_env(_ENV)
    project.revision(DDL, BASE, _DDL)
    project.revision(STATEMENT, DDL, _STATEMENT)
    project.revision(INDEXES, STATEMENT, _INDEXES)
    project.revision(ORDINARY, INDEXES, _ORDINARY)
    project.revision(BATCHES, ORDINARY, _BATCHES, more="gate_rerunnable = True")
    return project


def see(database: Database) -> Seen:
    """The database as a new session sees it."""
    with psycopg.connect(database.migrator_url, autocommit=True) as connection:
        reading = catalog(("public",), "alembic_version")
        sql = next(reading)
        objects: Mapping[str, str] = {}
        while not objects:
            try:
                sql = reading.send(connection.execute(sql.encode()).fetchall())
            except StopIteration as end:
                objects = end.value.objects
    rows = database.execute("SELECT jsonb_agg(b ORDER BY id)::text FROM book b")
    (revision,) = (str(row[0]) for row in database.execute("SELECT version_num FROM alembic_version"))
    return Seen(revision, objects, json.loads(str(rows[0][0])))


def noted(project: Project) -> dict[str, Seen]:
    """What an undisturbed upgrade of the project left after each revision."""
    found = {}
    for path in project.folder.glob("note-*.json"):
        left, rows = json.loads(path.read_text())
        revision = path.stem.removeprefix("note-")
        found[revision] = Seen(revision, Catalog.from_json(left).objects, json.loads(rows))
    return found


class Halt:
    """A point at which an upgrade is to halt until `release`. `reached` tells whether it is there."""

    def __init__(self, project: Project, database: Database, point: str) -> None:
        self._folder = project.folder
        self._database = database
        self._point = point
        self._file = project.folder / f"halt at {point}"
        self._older: psycopg.Connection[Any] | None = None
        if point == "CREATE INDEX CONCURRENTLY":
            # Whoever builds an index concurrently waits for transactions that hold a snapshot.
            self._older = psycopg.connect(database.migrator_url)
            self._older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            self._older.execute("SELECT count(*) FROM halting.point")
        elif point.startswith("a"):
            database.execute("INSERT INTO halting.point VALUES (%s)", point)
        else:
            self._file.touch()

    @property
    def reached(self) -> bool:
        if self._older is not None:
            return bool(sessions(self._database, "state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%'"))
        if self._point.startswith("a"):
            return bool(sessions(self._database, f"state = 'active' AND query LIKE '%here(''{self._point}'')%'"))
        return (self._folder / f"at {self._point}").exists()

    def release(self) -> None:
        if self._older is not None:
            self._older.close()
        if self._point.startswith("a"):
            self._database.execute("DELETE FROM halting.point")
        self._file.unlink(missing_ok=True)
