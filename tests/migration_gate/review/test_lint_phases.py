"""The phase of a revision, from its SQL alone, and what a migration module declares."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from migration_gate.errors import MigrationGateError
from migration_gate.phases import Declared, Phase, declared, phase_of
from migration_gate.sql_text import blank, statements_in

CONTRACT = [
    "DROP TABLE book",
    "DROP TABLE IF EXISTS a, b CASCADE",
    "DROP VIEW v",
    "DROP MATERIALIZED VIEW v",
    "DROP TYPE mood",
    "DROP FUNCTION f(int)",
    "DROP SCHEMA attic CASCADE",
    "DROP TRIGGER t ON book",
    "ALTER TABLE book DROP COLUMN title",
    "ALTER TABLE book DROP title",
    "ALTER TABLE IF EXISTS ONLY public.book ADD COLUMN x int, DROP COLUMN y",
    "ALTER TABLE book RENAME COLUMN title TO name",
    "ALTER TABLE book RENAME title TO name",
    'ALTER TABLE "Book" RENAME TO volume',
    "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
    "ALTER TABLE book ALTER COLUMN title TYPE varchar(9)",
    "ALTER TABLE book ALTER title SET DATA TYPE text",
    "ALTER TABLE book ALTER COLUMN title SET NOT NULL",
    "ALTER TABLE book ALTER COLUMN title DROP DEFAULT",
    "ALTER TABLE book ADD COLUMN pages int NOT NULL",
    "ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0)",
    "ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
    "ALTER TABLE book ADD CHECK (id > 0)",
    "ALTER TABLE book ADD FOREIGN KEY (id) REFERENCES shelf (id) NOT VALID",
    "ALTER TABLE book ADD CONSTRAINT u UNIQUE (title)",
    "CREATE UNIQUE INDEX CONCURRENTLY u ON book (title)",
    "ALTER TABLE book SET SCHEMA attic",
    "ALTER TABLE book DETACH PARTITION old",
    "REVOKE SELECT ON book FROM reader",
    "DO $$ BEGIN IF true THEN DROP TABLE book; END IF; END $$",
    "SELECT 1; DROP TABLE book; SELECT 2",
    "ALTER TABLE book ADD COLUMN x int; ALTER TABLE book ADD CHECK (x > 0 OR id > 0)",
    "ALTER TABLE book ADD COLUMN x int DEFAULT 0; ALTER TABLE book ADD UNIQUE (x)",
    "ALTER TABLE book ADD COLUMN x int; ALTER TABLE book ALTER COLUMN x SET NOT NULL",
]

EXPAND = [
    "",
    "SELECT 1 FOR UPDATE",
    "CREATE TABLE book (id int)",
    "ALTER TABLE book ADD COLUMN pages int",
    "ALTER TABLE book ADD COLUMN pages int NOT NULL DEFAULT 0",
    "ALTER TABLE book ADD COLUMN pages bigserial NOT NULL",
    "CREATE INDEX CONCURRENTLY i ON book (title)",
    "DROP INDEX CONCURRENTLY IF EXISTS i",
    "ALTER INDEX i RENAME TO j",
    "ALTER TABLE book VALIDATE CONSTRAINT c",
    "ALTER TABLE book DROP CONSTRAINT c",
    "ALTER TABLE book ALTER COLUMN title DROP NOT NULL",
    "ALTER TABLE book ADD CONSTRAINT u UNIQUE USING INDEX i",
    "ALTER TYPE mood ADD VALUE 'calm'",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $f$ DROP TABLE book; $f$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "COMMENT ON TABLE book IS 'drop table book; update book set x = 1'",
    "-- DROP TABLE book\nSELECT 1 /* DROP TABLE a /* nested */ DROP TABLE b */",
    "CREATE TABLE t (id int); ALTER TABLE t DROP COLUMN id; INSERT INTO t VALUES (1); DROP TABLE t",
    "ALTER TABLE book ADD x int DEFAULT 0; ALTER TABLE book ADD CHECK (x BETWEEN 0 AND abs(x)::int) NOT VALID",
    "ALTER TABLE book ADD COLUMN x int; ALTER TABLE book ADD UNIQUE (x); ALTER TABLE book DROP COLUMN x",
    "ALTER TABLE book RENAME TO volume; CREATE VIEW book AS SELECT * FROM volume",
    'CREATE TABLE "a;b" (id int); DROP TABLE "a;b"',
]

DATA = [
    "UPDATE book SET title = 'DROP TABLE book'",
    "DELETE FROM ONLY book",
    "INSERT INTO shelf (label) VALUES ('new') ON CONFLICT DO UPDATE SET label = 'x'",
    "WITH gone AS (DELETE FROM book RETURNING id) SELECT * FROM gone",
    "TRUNCATE TABLE book",
    "MERGE INTO book USING shelf ON true WHEN MATCHED THEN DELETE",
    "DO $$ BEGIN LOOP UPDATE book SET title = ''; EXIT; END LOOP; END $$",
    "CREATE TABLE t (id int); UPDATE book SET title = ''",
]


@pytest.mark.parametrize(
    ("sql", "phase"),
    [(sql, phase) for phase, texts in (("contract", CONTRACT), ("expand", EXPAND), ("data", DATA)) for sql in texts],
)
def test_the_phase_of_a_text(sql: str, phase: str) -> None:
    assert phase_of([sql]) == phase
    assert phase_of([sql.lower()]) == phase
    assert phase_of([sql.replace(" ", "\n  ")] if "'" not in sql and "--" not in sql else [sql]) == phase
    assert phase_of(statements_in(sql)) == phase


def test_no_statement_at_all_expands() -> None:
    assert phase_of([]) is Phase.EXPAND


def test_blanking_keeps_every_place() -> None:
    sql = "SELECT 'it''s', E'\\'', $a$ $$ ; $a$, \"a;b\" -- c\n/* d /* e */ f */;"

    blanked = blank(sql)

    assert len(blanked) == len(sql)
    assert blanked.count(";") == 2
    assert '"a;b"' in blanked
    assert statements_in(sql) == [sql[:-1]]


def _module(**names: object) -> ModuleType:
    module = ModuleType("migration")
    module.__dict__.update(names)
    return module


def test_what_a_module_declares() -> None:
    assert declared(_module()) == Declared(None, None, False)
    assert declared(_module(gate_phase="data", gate_minimum_code="0abc", gate_rerunnable=True)) == Declared(
        Phase.DATA, "0abc", True
    )


@pytest.mark.parametrize(
    "names",
    [
        {"gate_phase": "grow"},
        {"gate_minimum_code": 3},
        {"gate_minimum_code": ""},
        {"gate_rerunnable": 1},
    ],
    ids=str,
)
def test_what_a_module_cannot_declare(names: dict[str, object]) -> None:
    with pytest.raises(MigrationGateError, match=next(iter(names))) as error:
        declared(_module(**names))
    assert error.value.solution


def test_no_library_is_imported_to_tell_a_phase() -> None:
    question = "import sys, migration_gate.phases; print([m for m in sys.modules if m in ('alembic', 'sqlalchemy')])"

    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
