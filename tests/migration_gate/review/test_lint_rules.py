"""Each rule of lint, red and green, on a project whose three revisions are released."""

from __future__ import annotations

import pytest

from migration_gate.review.findings import Level
from migration_gate.revisions_lock import write
from tests.migration_gate.review.linted import NEW, add, found, released, review, rules
from tests.migration_gate.scratch import BOOK, TITLE_INDEX, Project


@pytest.fixture
def history(project: Project) -> Project:
    """Two tables and an index, released."""
    return released(project)


_BLOCK = "with op.get_context().autocommit_block():\n    "

# Rule, what is dangerous, and what is done instead (in as many revisions as one can see at once).
SQUAWK = [
    (
        "adding-required-field",
        'op.add_column("book", sa.Column("pages", sa.BigInteger(), nullable=False))',
        'op.add_column("book", sa.Column("pages", sa.BigInteger(), server_default="0", nullable=False))',
    ),
    (
        "adding-field-with-default",
        'op.execute("ALTER TABLE book ADD COLUMN token uuid DEFAULT gen_random_uuid()")',
        'op.execute("ALTER TABLE book ADD COLUMN token uuid")',
    ),
    (
        "adding-foreign-key-constraint",
        'op.execute("ALTER TABLE book ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES shelf (id)")',
        'op.execute("ALTER TABLE book ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES shelf (id) NOT VALID")',
    ),
    (
        "constraint-missing-not-valid",
        'op.create_check_constraint("c", "book", "length(title) < 99")',
        'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (length(title) < 99) NOT VALID")',
    ),
    (
        "constraint-missing-not-valid",
        (
            'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID")\n'
            'op.execute("ALTER TABLE book VALIDATE CONSTRAINT c")'
        ),
        'op.execute("ALTER TABLE book VALIDATE CONSTRAINT c")',
    ),
    (
        "disallowed-unique-constraint",
        'op.create_unique_constraint("u", "shelf", ["label"])',
        'op.execute("ALTER TABLE shelf ADD CONSTRAINT u UNIQUE USING INDEX i")',
    ),
    (
        "adding-serial-primary-key-field",
        'op.execute("ALTER TABLE shelf ADD CONSTRAINT p PRIMARY KEY (id)")',
        'op.execute("ALTER TABLE shelf ADD CONSTRAINT p PRIMARY KEY USING INDEX i")',
    ),
    (
        "require-concurrent-index-creation",
        'op.create_index("i", "shelf", ["label"])',
        _BLOCK + 'op.create_index("i", "shelf", ["label"], postgresql_concurrently=True)',
    ),
    (
        "require-concurrent-index-deletion",
        'op.drop_index("book_title", "book")',
        _BLOCK + 'op.drop_index("book_title", "book", postgresql_concurrently=True, if_exists=True)',
    ),
    (
        "require-concurrent-reindex",
        'op.execute("REINDEX INDEX book_title")',
        _BLOCK + 'op.execute("REINDEX INDEX CONCURRENTLY book_title")',
    ),
    ("adding-not-nullable-field", 'op.alter_column("shelf", "label", nullable=False)', 'op.execute("SELECT 1")'),
    ("changing-column-type", 'op.alter_column("book", "title", type_=sa.String(9))', 'op.execute("SELECT 1")'),
    ("renaming-column", 'op.alter_column("book", "title", new_column_name="name")', 'op.execute("SELECT 1")'),
    (
        "renaming-table",
        'op.rename_table("book", "volume")',
        'op.rename_table("book", "volume")\nop.execute("CREATE VIEW book AS SELECT * FROM volume")',
    ),
    (
        "renaming-object",
        'op.execute("ALTER SEQUENCE book_id_seq RENAME TO s")',
        'op.execute("ALTER INDEX book_title RENAME TO t")',
    ),
    ("ban-set-schema", 'op.execute("ALTER TABLE book SET SCHEMA attic")', 'op.execute("CREATE SCHEMA attic")'),
    ("ban-truncate-cascade", 'op.execute("TRUNCATE shelf CASCADE")', 'op.execute("TRUNCATE shelf")'),
    (
        "prefer-bigint-over-int",
        'op.create_table("page", sa.Column("id", sa.Integer(), primary_key=True))',
        'op.create_table("page", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("size", sa.Integer()))',
    ),
    (
        "prefer-timestamp-tz",
        'op.add_column("book", sa.Column("at", sa.DateTime()))',
        'op.add_column("book", sa.Column("at", sa.DateTime(timezone=True)))',
    ),
    ("transaction-nesting", 'op.execute("COMMIT")', 'op.execute("SELECT 1")'),
    ("syntax-error", 'op.execute("ALTER TABLE book ADDD COLUMN x int")', 'op.execute("SELECT 1")'),
]

OURS = [
    (
        "unbatched-backfill",
        "op.execute(\"UPDATE shelf SET label = ''\")",
        "op.execute(\"UPDATE shelf SET label = '' WHERE id BETWEEN 1 AND 9\")",
    ),
    (
        "unbatched-backfill",
        'op.execute("DELETE FROM shelf WHERE label IS NULL")',
        'op.execute("DELETE FROM shelf WHERE id = 7")',
    ),
    (
        "unbatched-backfill",
        'op.execute("INSERT INTO shelf (label) SELECT title FROM book")',
        "op.execute(\"INSERT INTO shelf (label) VALUES ('new')\")",
    ),
    (
        "unbatched-backfill",
        "op.execute(\"DO $$ BEGIN UPDATE shelf SET label = ''; END $$\")",
        "for low in (0, 9):\n    op.execute(f\"UPDATE shelf SET label = '' WHERE id >= {low} AND id < {low + 9}\")",
    ),
    (
        "unbatched-backfill",
        'op.execute("WITH old AS (SELECT id FROM shelf) DELETE FROM shelf USING old WHERE shelf.id = old.id")',
        'op.execute("DELETE FROM shelf WHERE id IN (SELECT id FROM shelf WHERE label IS NULL LIMIT 100)")',
    ),
    (
        "mixed-data-and-schema",
        (
            'op.add_column("book", sa.Column("pages", sa.BigInteger()))\n'
            'op.execute("UPDATE book SET pages = 0 WHERE id = 1")'
        ),
        'op.execute("CREATE TABLE kind (name text)")\nop.execute("INSERT INTO kind VALUES (\'novel\')")',
    ),
    (
        "concurrently-in-transaction",
        'op.execute("CREATE INDEX CONCURRENTLY i ON shelf (label)")',
        _BLOCK + 'op.execute("CREATE INDEX CONCURRENTLY i ON shelf (label)")',
    ),
    (
        "concurrently-if-not-exists",
        _BLOCK + 'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON shelf (label)")',
        _BLOCK
        + 'op.execute("DROP INDEX CONCURRENTLY IF EXISTS i")\n'
        + '    op.execute("CREATE INDEX CONCURRENTLY i ON shelf (label)")',
    ),
    (
        "mixed-transactionality",
        'op.add_column("book", sa.Column("pages", sa.BigInteger()))\n'
        + _BLOCK
        + 'op.create_index("i", "book", ["pages"], postgresql_concurrently=True)',
        'op.add_column("book", sa.Column("pages", sa.BigInteger()))',
    ),
    (
        "autocommit-not-rerunnable",
        _BLOCK + 'op.execute("ALTER TABLE book ADD COLUMN pages bigint")',
        _BLOCK + 'op.execute("ALTER TABLE book ADD COLUMN IF NOT EXISTS pages bigint")',
    ),
    (
        "enum-value-used-in-transaction",
        (
            "op.execute(\"ALTER TYPE mood ADD VALUE 'calm'\")\n"
            "op.execute(\"ALTER TABLE book ADD COLUMN m mood DEFAULT 'calm'\")"
        ),
        (
            "op.execute(\"CREATE TYPE mood AS ENUM ('wild')\")\nop.execute(\"ALTER TYPE mood ADD VALUE 'calm'\")\n"
            "op.execute(\"ALTER TABLE book ADD COLUMN m mood DEFAULT 'calm'\")"
        ),
    ),
    ("exclusive-rewrite", _BLOCK + 'op.execute("VACUUM FULL book")', _BLOCK + 'op.execute("VACUUM book")'),
    (
        "not-rendered-offline",
        'for row in op.get_bind().execute(sa.text("SELECT id FROM book")):\n    op.execute("SELECT 1")',
        'op.execute("SELECT 1")',
    ),
]


@pytest.mark.parametrize(("rule", "red", "green"), SQUAWK + OURS)
def test_a_rule_is_red_on_what_is_dangerous_and_green_on_what_is_not(
    history: Project, rule: str, red: str, green: str
) -> None:
    dangerous = [finding for finding in found(history, red) if finding.rule == rule]
    assert dangerous, rules(list(review(history).findings))
    assert dangerous[0].revision == NEW
    assert dangerous[0].file == str(history.migrations / "versions" / f"{NEW}.py")
    assert dangerous[0].line >= 12
    assert "{" not in dangerous[0].message

    assert rule not in rules(found(history, green))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE shelf",
        "ALTER TABLE shelf DROP COLUMN label",
        "DROP VIEW v",
        "DROP FUNCTION f()",
        "DROP TYPE t",
        "DROP SCHEMA s",
        "ALTER TABLE shelf ALTER COLUMN label DROP DEFAULT",
    ],
)
def test_what_is_taken_away_is_in_order_once_the_revision_says_which_code_works_without_it(
    history: Project, statement: str
) -> None:
    undeclared = found(history, f'op.execute("{statement}")')
    assert [finding.level for finding in undeclared] == [Level.ERROR]
    assert undeclared[0].rule.startswith("ban-drop-")
    assert "gate_minimum_code" in undeclared[0].rewrite[0].code

    assert found(history, f'op.execute("{statement}")', top=f'gate_minimum_code = "{TITLE_INDEX}"') == []


def test_nothing_is_dangerous_on_a_table_that_the_revision_creates(history: Project) -> None:
    upgrade = """\
        op.create_table("page", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("text", sa.Text()))
        op.create_index("page_text", "page", ["text"])
        op.create_unique_constraint("page_u", "page", ["text"])
        op.create_foreign_key("page_f", "page", "book", ["id"], ["id"])
        op.alter_column("page", "text", nullable=False)
        op.execute("INSERT INTO page SELECT id, title FROM book WHERE id BETWEEN 1 AND 5")
        op.drop_column("page", "text")
    """
    assert found(history, upgrade) == []


def test_the_line_is_that_of_the_statement_in_loops_and_calls_of_several_lines(history: Project) -> None:
    upgrade = """\
        for table in ("shelf", "book"):
            op.create_index(
                f"{table}_i",
                table,
                ["id"],
            )
    """
    path = add(history, upgrade)
    lines = path.read_text().splitlines()

    findings = review(history).findings

    assert [lines[finding.line - 1].strip() for finding in findings] == ["op.create_index("] * 2
    assert ["shelf_i" in findings[0].statement, "book_i" in findings[1].statement] == [True, True]


def test_set_not_null_is_in_order_behind_a_check_that_an_earlier_revision_validated(history: Project) -> None:
    not_valid = "ALTER TABLE shelf ADD CONSTRAINT n CHECK (label IS NOT NULL) NOT VALID"
    history.sql("c1", TITLE_INDEX, not_valid)
    released(history)
    set_not_null = 'op.alter_column("shelf", "label", nullable=False)'
    history.revision(NEW, "c1", set_not_null, "op.execute('SELECT 1')")
    write(history.config)
    assert "adding-not-nullable-field" in rules(list(review(history).findings))

    history.sql("c2", "c1", "ALTER TABLE shelf VALIDATE CONSTRAINT n")
    history.revision(NEW, "c2", set_not_null, "op.execute('SELECT 1')")
    write(history.config)

    assert rules(list(review(history).findings)) == ["contract-undeclared"]


def test_a_revision_that_reads_rows_is_a_finding_and_the_others_are_linted_all_the_same(history: Project) -> None:
    add(history, 'op.get_bind().execute(sa.text("SELECT 1")).scalar_one()')
    history.revision("next", NEW, 'op.create_index("i", "shelf", ["label"])', "op.execute('SELECT 1')")
    write(history.config)

    assert rules(list(review(history).findings)) == ["not-rendered-offline", "require-concurrent-index-creation"]


@pytest.mark.parametrize(
    ("downgrade", "level"),
    [
        ("pass", Level.ERROR),
        ("return None", Level.ERROR),
        ("raise NotImplementedError", Level.WARNING),
        ('"""The column harms nobody."""', None),
        ('op.drop_column("book", "pages")', None),
    ],
)
def test_a_downgrade_undoes_or_says_why_not(history: Project, downgrade: str, level: Level | None) -> None:
    findings = found(history, 'op.add_column("book", sa.Column("pages", sa.BigInteger()))', downgrade)

    assert [(each.rule, each.level) for each in findings] == ([("irreversible-downgrade", level)] if level else [])


def test_validating_and_filling_need_no_downgrade(history: Project) -> None:
    assert found(history, 'op.execute("ALTER TABLE book VALIDATE CONSTRAINT c")', "pass") == []
    assert found(history, 'op.execute("UPDATE shelf SET label = NULL WHERE id = 1")', "pass") == []


def test_what_may_be_rerun_is_declared(history: Project) -> None:
    upgrade = _BLOCK + 'op.execute("UPDATE shelf SET label = NULL WHERE id = 1")'

    assert rules(found(history, upgrade)) == ["autocommit-not-rerunnable"]
    assert found(history, upgrade, top="gate_rerunnable = True") == []


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ('gate_phase = "shrink"', "gate_phase = 'shrink'"),
        ("gate_minimum_code = 7", "gate_minimum_code = 7"),
        ('gate_minimum_code = "unheard0f"', "neither this revision nor one that it descends from"),
        ('gate_rerunnable = "yes"', "gate_rerunnable = 'yes'"),
        ("gate_rerunable = True", "gate_rerunable, which the gate does not know"),
    ],
)
def test_a_bad_declaration_is_a_finding_at_its_line(history: Project, top: str, message: str) -> None:
    findings = found(history, 'op.execute("SELECT 1")', top=top)

    assert rules(findings) == ["bad-declaration"]
    assert message in findings[0].message
    assert (history.migrations / "versions" / f"{NEW}.py").read_text().splitlines()[findings[0].line - 1] == top


def test_squawk_ignore_comments_keep_working(history: Project) -> None:
    ignored = 'op.execute("-- squawk-ignore require-concurrent-index-creation\\nCREATE INDEX i ON shelf (label)")'

    assert found(history, ignored) == []
    assert rules(found(history, ignored.replace("creation", "deletion"))) == ["require-concurrent-index-creation"]


def test_what_a_project_with_an_env_of_its_own_lacks_is_told(history: Project) -> None:
    history.write_env("""\
        from alembic import context
        from models import metadata
        context.configure(url="postgresql://", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    """)
    findings = found(history, 'op.add_column("book", sa.Column("pages", sa.BigInteger()))')

    assert rules(findings) == ["require-lock-timeout"]


def test_percent_signs_and_colons_come_out_as_they_were_written(history: Project) -> None:
    findings = found(history, "op.execute(\"UPDATE shelf SET label = 'x\\\\:y' WHERE label LIKE '5%'\")")

    assert findings[0].statement == "UPDATE shelf SET label = 'x:y' WHERE label LIKE '5%'"


def test_statements_built_from_columns_without_a_type_are_rendered(history: Project) -> None:
    upgrade = """\
        shelf = sa.table("shelf", sa.column("id"), sa.column("label"))
        op.bulk_insert(shelf, [{"id": 1, "label": "it's 5%"}])
        op.execute(shelf.update().values(label="x"))
    """
    findings = found(history, upgrade)

    assert rules(findings) == ["unbatched-backfill"]
    assert findings[0].statement == "UPDATE shelf SET label='x'"


def test_branches_merges_and_dependencies_are_rendered(history: Project) -> None:
    history.sql("left", TITLE_INDEX, "CREATE INDEX l ON shelf (label)")
    apart = history.sql("apart", None, "CREATE INDEX a ON shelf (label)")
    apart.write_text(apart.read_text() + f"\ndepends_on = {BOOK!r}\n")
    history.sql("merge", ("left", "apart"), "CREATE INDEX m ON shelf (label)")
    write(history.config)

    findings = list(review(history).findings)

    assert {finding.revision for finding in findings} == {"left", "apart", "merge"}
    assert set(rules(findings)) == {"require-concurrent-index-creation"}
