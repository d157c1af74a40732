"""Rewrites of tables in a schema of their own, whose names have capitals: nothing of them is found without."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from migration_gate.revisions_lock import write
from tests.databases import Database
from tests.migration_gate.review.linted import add, paste, released, review
from tests.migration_gate.scratch import TITLE_INDEX, Project, succeed

LIBRARY = "11b4"
_ROWS = 1500

_CREATE = """\
op.execute("CREATE SCHEMA library")
op.execute("CREATE TYPE library.\\"Mood\\" AS ENUM ('wild')")
op.create_table("Shelf", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("Label", sa.Text()),
                schema="library")
op.create_table("Book", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("Title", sa.Text()),
                sa.Column("Limit", sa.BigInteger(), server_default="0", nullable=False), schema="library")
op.create_index("Book_Limit", "Book", ["Limit"], schema="library")
op.execute('CREATE TABLE library."Loan" (id bigint NOT NULL, "Year" int NOT NULL) PARTITION BY LIST ("Year")')
op.execute('CREATE TABLE library."Loan_7" PARTITION OF library."Loan" FOR VALUES IN (7)')
op.execute('CREATE TABLE library."Stamp" ("Number" bigint NOT NULL)')
"""

_VALID = "SELECT convalidated FROM pg_constraint WHERE connamespace = 'library'::regnamespace AND conname = "
_INDEX = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indisvalid AND indexrelid = "
_COLUMNS = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'library.\"Book\"'::regclass AND attname = "

Case = tuple[str, str, tuple[object, ...]]

ADDS: list[Case] = [
    (
        'op.add_column("Book", sa.Column("pageSize", sa.BigInteger(), nullable=False), schema="library")',
        'SELECT count("pageSize") FROM library."Book"',
        (_ROWS,),
    ),
    (
        """op.execute('ALTER TABLE library."Book" ADD COLUMN "Token" uuid DEFAULT gen_random_uuid() NOT NULL')""",
        'SELECT count(DISTINCT "Token") FROM library."Book"',
        (_ROWS,),
    ),
    (
        """op.execute('ALTER TABLE library."Book" ADD "shelfId" bigint REFERENCES library."Shelf" (id)')""",
        _VALID + "'Book_shelfId_fkey'",
        (True,),
    ),
    (
        'op.add_column("Book", sa.Column("Isbn", sa.Text(), unique=True), schema="library")',
        _VALID + "'Book_Isbn_key'",
        (True,),
    ),
    (
        (
            'op.create_foreign_key("F", "Book", "Shelf", ["Limit"], ["id"], source_schema="library",'
            ' referent_schema="library")'
        ),
        _VALID + "'F'",
        (True,),
    ),
    (
        """op.create_check_constraint("C", "Book", '"Limit" > 0', schema="library")""",
        _VALID + "'C'",
        (True,),
    ),
    (
        'op.create_unique_constraint("U", "Shelf", ["Label"], schema="library")',
        _VALID + "'U'",
        (True,),
    ),
    (
        'op.create_primary_key("P", "Stamp", ["Number"], schema="library")',
        _VALID + "'P'",
        (True,),
    ),
    (
        'op.create_index("I", "Shelf", ["Label"], unique=True, schema="library")',
        _INDEX + "'library.\"I\"'::regclass",
        ('CREATE UNIQUE INDEX "I" ON library."Shelf" USING btree ("Label")',),
    ),
    (
        """op.create_index("J", "Shelf", [sa.text('"Label" DESC')], schema="library")""",
        _INDEX + "'library.\"J\"'::regclass",
        ('CREATE INDEX "J" ON library."Shelf" USING btree ("Label" DESC)',),
    ),
    (
        'op.alter_column("Book", "Title", nullable=False, schema="library")',
        _COLUMNS + "'Title' AND attnotnull",
        (1,),
    ),
    (
        """op.execute('UPDATE library."Book" SET "Title" = upper("Title") WHERE "Limit" < 9 OR "Limit" > 1490')""",
        """SELECT count(*) FROM library."Book" WHERE "Title" LIKE 'N%'""",
        (18,),
    ),
    (
        (
            """op.execute('INSERT INTO library."Shelf" (id, "Label") SELECT id + 9000, id::text FROM library."Book" """
            """WHERE "Limit" > 5')"""
        ),
        'SELECT count(*) FROM library."Shelf" WHERE id > 9000',
        (_ROWS - 5,),
    ),
    (
        'op.rename_table("Stamp", "Seal", schema="library")',
        """SELECT count(*), to_regclass('library."Stamp"') FROM library."Seal\"""",
        (0, None),
    ),
]

TAKES: list[Case] = [
    (
        'op.drop_index("Book_Limit", "Book", schema="library")',
        """SELECT to_regclass('library."Book_Limit"')""",
        (None,),
    ),
    (
        'op.alter_column("Book", "Limit", type_=sa.Text(), schema="library")',
        'SELECT count(*) FROM library."Book" WHERE "Limit_new" = id::text',
        (_ROWS,),
    ),
    (
        'op.alter_column("Book", "Title", new_column_name="Name", schema="library")',
        """SELECT count(*) FROM library."Book" WHERE "Name" = 'n' || id""",
        (_ROWS,),
    ),
    ("""op.execute('DELETE FROM library."Shelf"')""", 'SELECT count(*) FROM library."Shelf"', (0,)),
    ('op.drop_column("Shelf", "Label", schema="library")', 'SELECT count(*) FROM library."Shelf"', (0,)),
    ('op.drop_table("Stamp", schema="library")', """SELECT to_regclass('library."Stamp"')""", (None,)),
    (
        """op.execute('ALTER TABLE library."Loan" DETACH PARTITION library."Loan_7"')""",
        "SELECT relispartition FROM pg_class WHERE relname = 'Loan_7'",
        (False,),
    ),
    (
        """\
op.execute("ALTER TYPE library.\\"Mood\\" ADD VALUE 'calm'")
op.execute("ALTER TABLE library.\\"Book\\" ADD COLUMN m library.\\"Mood\\" DEFAULT 'calm'")
""",
        'SELECT DISTINCT m::text FROM library."Book"',
        ("calm",),
    ),
]


@pytest.fixture
def library(project: Project, empty_database: Database) -> Project:
    """A released schema with rows for two batches."""
    project.revision(LIBRARY, TITLE_INDEX, _CREATE, "op.execute('DROP SCHEMA library CASCADE')")
    succeed(project.alembic("upgrade", "head"))
    rows = f"FROM generate_series(1, {_ROWS}) n"
    empty_database.execute(f"""INSERT INTO library."Shelf" SELECT n, 'n' || n {rows}""")
    empty_database.execute(f"""INSERT INTO library."Book" SELECT n, 'n' || n, n {rows}""")
    return released(project)


def _write_rewrites(project: Project, dangerous: Sequence[str]) -> list[str]:
    """Write the steps that lint offers for each as revisions, one after another, and return the code of all."""
    parent, written = LIBRARY, []
    for upgrade in dangerous:
        asked = project.revision("asked", parent, upgrade)
        write(project.config)
        rewrite = next(each.rewrite for each in review(project).findings if each.rewrite)
        asked.unlink()
        for step in rewrite:
            head = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = 's{len(written)}'\n"
            (project.migrations / "versions" / f"s{len(written)}.py").write_text(
                f"{head}down_revision = {parent!r}\n\n{step.code}"
            )
            parent = f"s{len(written)}"
            written.append(step.code)
        released(project)
    return written


@pytest.mark.parametrize("cases", [ADDS, TAKES], ids=["adds", "takes"])
def test_rewrites_keep_schema_and_capitals(library: Project, empty_database: Database, cases: list[Case]) -> None:
    written = _write_rewrites(library, [dangerous for dangerous, _, _ in cases])
    answers = [[answer] for _, _, answer in cases]

    succeed(library.alembic("upgrade", "head"))
    assert [empty_database.execute(question) for _, question, _ in cases] == answers
    if not any("NotImplementedError" in step for step in written):
        succeed(library.alembic("downgrade", LIBRARY))
        succeed(library.alembic("upgrade", "head"))


def test_the_schema_public_is_written_where_the_revision_wrote_it(project: Project) -> None:
    released(project)
    add(project, 'op.alter_column("book", "title", type_=sa.Integer(), schema="public")')

    steps = next(each.rewrite for each in review(project).findings if each.rewrite)

    assert len(steps) == 4
    for step in steps:
        assert "public.book" in step.code
        assert not re.search(r"(?:TABLE|ON|UPDATE|FROM) book\b", step.code)


@pytest.mark.parametrize("view", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_that_selects_the_column_is_found_by_what_the_rewrite_says(
    library: Project, empty_database: Database, view: str
) -> None:
    create = f'CREATE {view} library."Titles" AS SELECT id, "Title" FROM library."Book"'
    library.sql("0b1e", LIBRARY, create, f'DROP {view} library."Titles"')
    succeed(library.alembic("upgrade", "head"))
    released(library)
    add(library, 'op.alter_column("Book", "Title", type_=sa.String(40), schema="library")', parent="0b1e")
    *before, last = next(each.rewrite for each in review(library).findings if each.rewrite)

    assert 'The migrations made views of this table: library."Titles"' in last.code
    query = "".join(re.findall(r"^ *#  ( .*\n)", last.code, re.MULTILINE))
    assert empty_database.execute(f"SELECT ev_class::text FROM ({query}) AS found") == [('library."Titles"',)]

    paste(library, (*before, last), parent="0b1e")
    assert "other objects depend on it" in library.alembic("upgrade", "head").stdout
    instead = create.replace('"Title" FROM', '"Title_new" AS "Title" FROM')
    mended = last.code.replace(
        "op.execute('ALTER", f"op.execute('DROP {view} library.\"Titles\"')\n    op.execute('ALTER"
    )
    mended = mended.replace("\n\n\ndef downgrade", f"\n    op.execute({instead!r})\n\n\ndef downgrade")
    step = library.migrations / "versions" / "step3.py"
    step.write_text(step.read_text().replace(last.code, mended))
    write(library.config)
    succeed(library.alembic("upgrade", "head"))


def test_a_default_of_the_old_column_does_not_overwrite_what_new_code_writes(
    library: Project, empty_database: Database
) -> None:
    add(library, 'op.alter_column("Book", "Limit", type_=sa.Text(), schema="library")', parent=LIBRARY)
    rewrite = next(each.rewrite for each in review(library).findings if each.rewrite)
    paste(library, rewrite[:3], parent=LIBRARY)
    succeed(library.alembic("upgrade", "head"))

    empty_database.execute("""INSERT INTO library."Book" (id, "Title", "Limit_new") VALUES (9001, 'new', '7')""")
    empty_database.execute("""INSERT INTO library."Book" (id, "Title", "Limit") VALUES (9002, 'old', 8)""")
    empty_database.execute("""INSERT INTO library."Book" (id, "Title") VALUES (9003, 'either')""")

    rows = empty_database.execute('SELECT "Limit_new" FROM library."Book" WHERE id > 9000 ORDER BY id')
    assert rows == [("7",), ("8",), ("0",)]
    where = "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE '%sync'"
    assert empty_database.execute(where) == [("library",)]
