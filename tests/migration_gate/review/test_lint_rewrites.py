"""The rewrites that lint prints, pasted into revisions, each released by itself, and run on a real PostgreSQL."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.migration_gate.review.linted import found, git, paste, released
from tests.migration_gate.scratch import TITLE_INDEX, Project, succeed

_ROWS = 2500


@pytest.fixture
def filled(project: Project, empty_database: Database) -> Project:
    """The three revisions released and applied, with rows for three batches."""
    return _fill(project, empty_database)


def _fill(project: Project, database: Database) -> Project:
    succeed(project.alembic("upgrade", "head"))
    database.execute(f"INSERT INTO shelf (label) SELECT 'shelf ' || n FROM generate_series(1, {_ROWS}) n")
    database.execute(f"INSERT INTO book (title) SELECT n::text FROM generate_series(1, {_ROWS}) n")
    return released(project)


CASES = [
    (
        'op.add_column("book", sa.Column("pages", sa.BigInteger(), nullable=False))',
        (
            "SELECT (SELECT count(*) FROM book WHERE pages = 0), (SELECT attnotnull FROM pg_attribute"
            " WHERE attrelid = 'book'::regclass AND attname = 'pages')"
        ),
        (_ROWS, True),
    ),
    (
        'op.execute("ALTER TABLE book ADD COLUMN token uuid DEFAULT gen_random_uuid() NOT NULL")',
        (
            "SELECT count(DISTINCT token), (SELECT attnotnull FROM pg_attribute"
            " WHERE attrelid = 'book'::regclass AND attname = 'token') FROM book"
        ),
        (_ROWS, True),
    ),
    (
        'op.execute("ALTER TABLE book ADD COLUMN shelf_id bigint REFERENCES shelf (id)")',
        "SELECT convalidated FROM pg_constraint WHERE conname = 'book_shelf_id_fkey'",
        (True,),
    ),
    (
        'op.execute("ALTER TABLE book ADD COLUMN isbn text UNIQUE")',
        "SELECT contype::text FROM pg_constraint WHERE conname = 'book_isbn_key'",
        ("u",),
    ),
    (
        'op.create_foreign_key("book_shelf", "book", "shelf", ["id"], ["id"])',
        "SELECT convalidated FROM pg_constraint WHERE conname = 'book_shelf'",
        (True,),
    ),
    (
        'op.execute("ALTER TABLE book ADD CHECK (length(title) < 99)")',
        "SELECT convalidated FROM pg_constraint WHERE conname = 'book_title_check'",
        (True,),
    ),
    (
        'op.create_unique_constraint("shelf_label_key", "shelf", ["label"])',
        "SELECT contype::text, convalidated FROM pg_constraint WHERE conname = 'shelf_label_key'",
        ("u", True),
    ),
    (
        'op.create_index("shelf_label", "shelf", ["label", "id"], unique=True)',
        "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'shelf_label'::regclass",
        (True, True),
    ),
    (
        "op.execute(\"CREATE INDEX shelf_lower ON shelf USING btree (lower(label)) WHERE label <> '50%: a:b'\")",
        "SELECT pg_get_indexdef('shelf_lower'::regclass)",
        (("CREATE INDEX shelf_lower ON public.shelf USING btree (lower(label)) WHERE (label <> '50%: a:b'::text)"),),
    ),
    (
        'op.execute("DROP INDEX book_title")',
        "SELECT to_regclass('book_title')",
        (None,),
    ),
    (
        'op.alter_column("shelf", "label", nullable=False)',
        (
            "SELECT attnotnull, (SELECT count(*) FROM pg_constraint WHERE conname LIKE 'shelf%check')"
            " FROM pg_attribute WHERE attrelid = 'shelf'::regclass AND attname = 'label'"
        ),
        (True, 0),
    ),
    (
        'op.execute("ALTER TABLE book ALTER COLUMN title TYPE bigint USING title::bigint")',
        "SELECT sum(title_new) FROM book",
        (_ROWS * (_ROWS + 1) // 2,),
    ),
    (
        'op.alter_column("book", "title", new_column_name="name")',
        "SELECT count(name) FROM book",
        (_ROWS,),
    ),
    (
        'op.rename_table("book", "volume")',
        "SELECT count(*), to_regclass('book') FROM volume",
        (_ROWS, None),
    ),
    (
        'op.drop_column("shelf", "label")',
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'shelf'::regclass AND attname = 'label'",
        (0,),
    ),
    (
        'op.drop_table("shelf")',
        "SELECT to_regclass('shelf')",
        (None,),
    ),
    (
        "op.execute(\"UPDATE shelf SET label = upper(label) WHERE label LIKE 'shelf 1%' OR id = 2\")",
        "SELECT count(*) FROM shelf WHERE label = upper(label)",
        (1 + 1 + 10 + 100 + 1000,),
    ),
    (
        'op.execute("UPDATE book b SET title = s.label FROM shelf s WHERE s.id = b.id")',
        "SELECT count(*) FROM book WHERE title LIKE 'shelf %'",
        (_ROWS,),
    ),
    (
        'op.execute("DELETE FROM shelf")',
        "SELECT count(*) FROM shelf",
        (0,),
    ),
    (
        'op.execute("INSERT INTO shelf (id, label) SELECT id + 10000, title FROM book WHERE id > 1000 ORDER BY id")',
        "SELECT count(*) FROM shelf WHERE id > 10000",
        (1500,),
    ),
    (
        'op.add_column("book", sa.Column("pages", sa.BigInteger()))\nop.execute("UPDATE book SET pages = 7")',
        "SELECT sum(pages) FROM book",
        (_ROWS * 7,),
    ),
    (
        'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS shelf_label ON shelf (label)")',
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'shelf_label'::regclass",
        (True,),
    ),
    (
        (
            'op.add_column("shelf", sa.Column("at", sa.DateTime(timezone=True)))\n'
            "with op.get_context().autocommit_block():\n"
            '    op.execute("CREATE INDEX CONCURRENTLY shelf_at ON shelf (at)")'
        ),
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'shelf_at'::regclass",
        (True,),
    ),
]


@pytest.mark.parametrize(("dangerous", "question", "answer"), CASES, ids=[case[0][:60] for case in CASES])
def test_a_rewrite_is_green_and_does_what_was_meant(
    filled: Project, empty_database: Database, dangerous: str, question: str, answer: tuple[object, ...]
) -> None:
    findings = found(filled, dangerous)
    rewrite = next(finding.rewrite for finding in findings if finding.rewrite)

    assert paste(filled, rewrite) == []

    succeed(filled.alembic("upgrade", "head"))
    assert empty_database.execute(question) == [answer]
    if not any("NotImplementedError" in step.code for step in rewrite):
        succeed(filled.alembic("downgrade", TITLE_INDEX))
        succeed(filled.alembic("upgrade", "head"))


def test_a_new_enum_value_and_its_use_in_two_revisions(project: Project, empty_database: Database) -> None:
    empty_database.execute("CREATE TYPE mood AS ENUM ('wild')")
    _fill(project, empty_database)
    dangerous = "op.execute(\"ALTER TYPE mood ADD VALUE 'calm'\")\n"
    dangerous += "op.execute(\"ALTER TABLE book ADD COLUMN mood mood DEFAULT 'calm'\")"
    rewrite = next(finding.rewrite for finding in found(project, dangerous) if finding.rewrite)

    assert paste(project, rewrite) == []
    succeed(project.alembic("upgrade", "head"))

    assert empty_database.execute("SELECT DISTINCT mood::text FROM book") == [("calm",)]


def test_old_and_new_code_write_at_the_same_time_while_a_column_changes_its_type(
    filled: Project, empty_database: Database
) -> None:
    dangerous = 'op.execute("ALTER TABLE book ALTER COLUMN title TYPE bigint USING title::bigint")'
    rewrite = next(finding.rewrite for finding in found(filled, dangerous) if finding.rewrite)
    paste(filled, rewrite[:3])
    succeed(filled.alembic("upgrade", "head"))

    empty_database.execute("INSERT INTO book (id, title) VALUES (9001, '41')")
    empty_database.execute("INSERT INTO book (id, title_new) VALUES (9002, 42)")
    empty_database.execute("UPDATE book SET title = '43' WHERE id = 1")
    empty_database.execute("UPDATE book SET title_new = 44 WHERE id = 2")

    rows = empty_database.execute("SELECT title_new FROM book WHERE id IN (1, 2, 9001, 9002) ORDER BY id")
    assert rows == [(43,), (44,), (41,), (42,)]


def test_a_cut_off_backfill_keeps_its_batches_and_runs_again(filled: Project, empty_database: Database) -> None:
    # The last row refuses: two batches of three are committed by then.
    dangerous = f'op.execute("UPDATE shelf SET label = (1 / (id - {_ROWS}))::text")'
    rewrite = next(finding.rewrite for finding in found(filled, dangerous))
    assert paste(filled, rewrite) == []

    assert "SQLSTATE 22012" in filled.alembic("upgrade", "head").stdout
    assert empty_database.execute("SELECT count(*) FROM shelf WHERE label IN ('0', '-1')") == [(2000,)]

    empty_database.execute(f"DELETE FROM shelf WHERE id = {_ROWS}")
    succeed(filled.alembic("upgrade", "head"))
    assert empty_database.execute("SELECT count(*) FROM shelf WHERE label IN ('0', '-1')") == [(_ROWS - 1,)]
    assert git(filled.folder, "status", "--porcelain") == ""
