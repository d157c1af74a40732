"""The styles in which people write revisions: what is found, and at which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_gate.review.lint_report import as_github, as_text
from migration_gate.revisions_lock import write
from tests.databases import Database
from tests.migration_gate.review.linted import NEW, add, found, paste, released, review, rules
from tests.migration_gate.scratch import BOOK, SHELF, TITLE_INDEX, Project, succeed


@pytest.fixture
def history(project: Project) -> Project:
    """Three revisions, released."""
    return released(project)


def _places(project: Project, file: Path) -> list[tuple[str, str]]:
    """Each finding's rule, and the line that it points at."""
    lines = file.read_text().splitlines()
    return [(each.rule, lines[each.line - 1].strip()) for each in review(project).findings]


BATCH = """\
with op.batch_alter_table("book") as batch:
    batch.alter_column("title", type_=sa.String(20))
    batch.create_index("i", ["id"])
op.create_index("j", "shelf", ["label"])
"""


def test_what_a_batch_does_is_told_at_the_line_of_each_operation(history: Project) -> None:
    file = add(history, BATCH)

    assert _places(history, file) == [
        ("changing-column-type", 'batch.alter_column("title", type_=sa.String(20))'),
        ("require-concurrent-index-creation", 'batch.create_index("i", ["id"])'),
        ("require-concurrent-index-creation", 'op.create_index("j", "shelf", ["label"])'),
    ]
    number = file.read_text().splitlines().index('        batch.create_index("i", ["id"])') + 1
    assert f"migrations/versions/{NEW}.py:{number} " in as_text(review(history))
    assert f"file=migrations/versions/{NEW}.py,line={number}," in as_github(review(history))


def test_an_override_in_a_batch_speaks_for_its_operation_alone(history: Project) -> None:
    allowed = '["id"])  # gate: allow require-concurrent-index-creation because book has ten rows'

    findings = found(history, BATCH.replace('["id"])', allowed))

    assert rules(findings) == ["changing-column-type", "require-concurrent-index-creation"]
    assert "ON shelf" in findings[1].statement


def test_each_statement_of_a_text_is_told_at_its_own_line(history: Project) -> None:
    upgrade = '''\
        op.execute("""
            -- DROP TABLE book, but later
            CREATE INDEX i ON shelf (label);

            ALTER TABLE book
                ADD COLUMN pages int NOT NULL;
            CREATE INDEX j ON shelf (label);
        """)
    '''
    file = add(history, upgrade)

    assert _places(history, file) == [
        ("require-concurrent-index-creation", "CREATE INDEX i ON shelf (label);"),
        ("adding-required-field", "ALTER TABLE book"),
        ("require-concurrent-index-creation", "CREATE INDEX j ON shelf (label);"),
    ]


def test_a_text_that_stands_elsewhere_is_told_at_its_call(history: Project) -> None:
    text = 'CREATE = """\nCREATE INDEX i ON shelf (label);\nCREATE INDEX j ON shelf (label);\n"""\n'
    file = add(history, "op.execute(CREATE)", top=text)

    assert [line for _, line in _places(history, file)] == ["op.execute(CREATE)"] * 2


def test_an_override_speaks_for_all_statements_of_its_text(history: Project) -> None:
    upgrade = '''\
        # gate: allow require-concurrent-index-creation because both tables have ten rows
        op.execute("""
            CREATE INDEX i ON shelf (label);
            CREATE INDEX j ON book (id);
        """)
    '''
    assert found(history, upgrade) == []


def test_what_a_do_block_does_to_the_schema_is_judged(history: Project) -> None:
    upgrade = '''\
        op.execute("""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_indexes WHERE indexname = 'i') THEN
                    CREATE INDEX i ON shelf (label);
                END IF;
                ALTER TABLE book ALTER COLUMN title TYPE varchar(9);
            EXCEPTION WHEN duplicate_table THEN NULL;
            END $$
        """)
    '''
    findings = found(history, upgrade)

    assert sorted(rules(findings)) == ["changing-column-type", "require-concurrent-index-creation"]
    assert findings[0].rewrite


def test_what_a_do_block_creates_may_be_changed_in_it(history: Project) -> None:
    block = "DO $$ BEGIN CREATE TABLE page (id bigint); CREATE INDEX i ON page (id); END $$"

    assert found(history, f'op.execute("{block}")') == []


def test_an_index_on_a_new_column_comes_with_the_column(history: Project, empty_database: Database) -> None:
    upgrade = """\
        op.add_column("book", sa.Column("shelf_id", sa.BigInteger(), sa.ForeignKey("shelf.id"), nullable=True))
        op.create_index(op.f("ix_book_shelf_id"), "book", ["shelf_id"])
    """
    findings = {each.rule: each.rewrite for each in found(history, upgrade)}
    add(history, upgrade)

    assert paste(history, findings["require-concurrent-index-creation"]) == []
    assert findings["adding-foreign-key-constraint"][0] == findings["require-concurrent-index-creation"][0]
    succeed(history.alembic("upgrade", "head"))
    assert empty_database.execute("SELECT to_regclass('ix_book_shelf_id')::text") == [("ix_book_shelf_id",)]


def test_a_column_whose_default_is_worked_out_is_not_brought_along_as_it_is(history: Project) -> None:
    upgrade = """\
        op.execute("ALTER TABLE book ADD COLUMN token uuid DEFAULT gen_random_uuid()")
        op.create_index("i", "book", ["token"])
    """
    index = next(each for each in found(history, upgrade) if each.rule == "require-concurrent-index-creation")

    assert [step.title for step in index.rewrite] == ["the index, while writes go on"]


def test_an_index_keeps_its_order_and_operator_class(history: Project) -> None:
    (finding,) = found(history, 'op.create_index("i", "shelf", [sa.text("label text_pattern_ops DESC")])')

    assert "CREATE INDEX CONCURRENTLY i ON shelf (label text_pattern_ops DESC)" in finding.rewrite[0].code


def test_a_block_that_comes_first_stays_first_where_the_revision_is_cut_up(
    project: Project, empty_database: Database
) -> None:
    empty_database.execute("CREATE TYPE mood AS ENUM ('wild')")
    succeed(project.alembic("upgrade", "head"))
    released(project)
    upgrade = """\
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm'")
        op.execute("ALTER TABLE book ADD COLUMN mood mood DEFAULT 'calm'")
    """
    (finding,) = found(project, upgrade)

    assert finding.rule == "mixed-transactionality"
    assert "what stands after it fails" in finding.message
    assert paste(project, finding.rewrite) == []
    succeed(project.alembic("upgrade", "head"))
    assert empty_database.execute("SELECT count(mood) FROM book") == [(0,)]


def test_rows_that_are_changed_after_a_block_hold_none_of_its_locks(history: Project) -> None:
    upgrade = """\
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm'")
        op.execute("UPDATE shelf SET label = 'calm' WHERE id = 1")
    """
    assert rules(found(history, upgrade)) == ["mixed-transactionality"]


def test_a_column_that_is_called_like_a_word_of_sql_bounds_nothing(history: Project) -> None:
    findings = found(history, """op.execute('UPDATE shelf SET label = NULL WHERE "limit" > 1')""")

    assert rules(findings) == ["unbatched-backfill"]


def test_a_merge_that_does_something_is_judged_by_both_its_branches(project: Project) -> None:
    project.sql("1eaf", TITLE_INDEX, "ALTER TABLE shelf ADD CONSTRAINT n CHECK (label IS NOT NULL) NOT VALID")
    project.sql("51de", TITLE_INDEX, "ALTER TABLE book ADD COLUMN pages bigint")
    project.sql("1eaf2", "1eaf", "ALTER TABLE shelf VALIDATE CONSTRAINT n")
    project.revision("3e6e", ("1eaf2", "51de"))
    released(project)
    # The check of one branch proves it; of the other branch's column nothing is known.
    for column, table in (("label", "shelf"), ("pages", "book")):
        project.revision(
            NEW, "3e6e", f'op.alter_column("{table}", "{column}", nullable=False)', "op.execute('SELECT 1')"
        )
        write(project.config)
        judged = ["contract-undeclared"] if table == "shelf" else ["adding-not-nullable-field"]
        assert rules(list(review(project).findings)) == judged


def test_labels_and_dependencies_are_a_part_of_the_history(project: Project) -> None:
    project.sql("ab0", None, "CREATE TABLE audit (id bigint)", more="branch_labels = ('audit',)")
    released(project)
    depends = f"depends_on = {BOOK!r}\ngate_minimum_code = {SHELF!r}"
    project.sql(NEW, "ab0", "ALTER TABLE audit ADD CONSTRAINT c CHECK (id > 0) NOT VALID", more=depends)
    write(project.config)

    assert rules(list(review(project).findings)) == []


def test_a_helper_of_the_project_is_told_at_its_call(history: Project) -> None:
    helper = 'def audited(op, table):\n    op.create_index(table + "_audit", table, ["id"])\n'
    (history.folder / "helpers.py").write_text(helper)
    file = add(history, 'from helpers import audited\naudited(op, "book")')

    assert _places(history, file) == [("require-concurrent-index-creation", 'audited(op, "book")')]
