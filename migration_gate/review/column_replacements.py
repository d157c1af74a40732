"""The safe ways to give a column another type or name, and to drop one: no code may still use what goes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration_gate.review import revision_code as code
from migration_gate.review.findings import Code
from migration_gate.review.revision_code import batches, execute, quoted, revision
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import NAME, blank, fold, schema_of

Rewrite = tuple[str, tuple[Code, ...]]


def change_type(change: Change, subject: Subject) -> Rewrite:
    """ALTER COLUMN … TYPE."""
    found = re.search(r"\bTYPE\s+(.*?)(?:\s+USING\s+(.*))?$", change.text, re.IGNORECASE | re.DOTALL)
    kind = found[1].strip() if found else "text"
    using = found[2].strip() if found and found[2] else f"{quoted(change.name)}::{kind}"
    return _replaced(change, f"{change.name}_new", kind, using, subject)


def rename_column(change: Change, subject: Subject) -> Rewrite:
    """RENAME COLUMN."""
    kind = subject.type_of(change.on, change.to) or subject.type_of(change.on, change.name) or "text"
    return _replaced(change, change.to, kind, quoted(change.name), subject)


def drop_column(change: Change, subject: Subject) -> Rewrite:
    """DROP COLUMN."""
    table, column = change.spelled, quoted(change.name)
    kind = subject.type_of(change.on, change.name)
    drop = execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    undo = (
        execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        if kind
        else f'raise NotImplementedError("{change.name} comes back in a new revision only")'
    )
    upgrade = [*_views(change, subject, "without the column"), drop]
    return (
        (
            f"Release code that no longer uses {change.name} first (where it is NOT NULL without a default, `ALTER"
            f" COLUMN {column} DROP NOT NULL` goes with that release); drop it one release later, and declare it."
        ),
        (Code("one release after the last code that uses it", revision(upgrade, [undo], code.CODE_BEFORE)),),
    )


def _replaced(change: Change, new: str, kind: str, using: str, subject: Subject) -> Rewrite:
    """A second column that a trigger keeps in step until no code uses the first."""
    table, old, fresh = change.spelled, quoted(change.name), quoted(new)
    trigger = quoted(f"{change.on.split('.')[-1]}_{new}_sync")
    function = schema_of(table) + trigger
    start = [
        execute(f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}"),
        execute(
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
            "    -- Code that knows the new column alone has written it already.\n"
            f"    IF TG_OP = 'UPDATE' OR NEW.{fresh} IS NULL THEN\n"
            f"        NEW.{fresh} := {_of_new_row(using, change, subject)};\n    END IF;\n"
            "    RETURN NEW;\nEND $$"
        ),
        execute(
            f"CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OF {old} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()"
        ),
    ]
    end = [execute(f"DROP TRIGGER {trigger} ON {table}"), execute(f"DROP FUNCTION {function}()")]
    forget = execute(f"ALTER TABLE {table} DROP COLUMN {fresh}")
    key = subject.models.key_of(change.on)
    fill = f"UPDATE {table} SET {fresh} = {using} WHERE {quoted(key)} BETWEEN first_key AND last_key"
    nullable = execute(f"ALTER TABLE {table} ALTER COLUMN {old} DROP NOT NULL")
    wider = '"""What is nullable is no obstacle to the revisions before: there is nothing to undo."""'
    last = [
        *end,
        *_views(change, subject, f"with {fresh} in its place ({fresh} AS {old} keeps the view's own column)"),
        execute(f"ALTER TABLE {table} DROP COLUMN {old}"),
    ]
    undo = f"raise NotImplementedError({('what only ' + new + ' holds would be lost')!r})".replace("'", '"')
    return (
        (
            f"Add {new} beside {change.name}, kept in step by a trigger, and fill it in batches. The code of that"
            f" release reads {new} and writes {change.name}; that of the next knows {new} alone; then"
            f" {change.name} is dropped. Indexes and constraints of {change.name} do not come along: give {new} its own"
            f" before code reads it, and its default where {change.name} is dropped."
        ),
        (
            Code("the new column, kept in step", revision(start, [*end, forget])),
            Code("the rows that exist, in batches", batches(table, key, fill)),
            Code(f"with the release whose code writes {new} alone", revision([nullable], [wider])),
            Code("one release after that", revision(last, [undo], code.CODE_BEFORE)),
        ),
    )


def _of_new_row(expression: str, change: Change, subject: Subject) -> str:
    """An expression over a row's columns, as a trigger writes it."""
    parts, position = [], 0
    for word in re.finditer(rf"(?P<type>::\s*|\bAS\s+)?(?P<name>{NAME})(?P<call>\s*\()?", blank(expression), re.I):
        table, _, column = fold(word["name"]).rpartition(".")
        its_own = table in {"", change.on, change.on.rpartition(".")[2]}
        known = column == change.name or subject.type_of(change.on, column) is not None
        if its_own and known and not word["type"] and not word["call"]:
            parts += [expression[position : word.start("name")], f"NEW.{quoted(column)}"]
            position = word.end("name")
    return "".join([*parts, expression[position:]])


def _views(change: Change, subject: Subject, how: str) -> Iterator[str]:
    """Lines of comment on the views that stand in the way of DROP COLUMN, those that the migrations made by name."""
    made = " ".join(dict.fromkeys(_views_on(change.on, subject)))
    table, column = change.spelled.replace("'", "''"), change.name.replace("'", "''")
    yield "# A view that selects the column stops DROP COLUMN, and CASCADE would take the view away."
    if made:
        yield f"# The migrations made views of this table: {made}"
    yield "# The database knows all that select it:"
    yield "#   SELECT DISTINCT ev_class::regclass FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid"
    yield "#   WHERE (refobjid, refobjsubid) IN (SELECT attrelid, attnum FROM pg_attribute"
    yield f"#   WHERE attrelid = '{table}'::regclass AND attname = '{column}')"
    yield "# Take pg_get_viewdef of each, DROP VIEW here, and after DROP COLUMN write CREATE VIEW and its GRANTs again,"
    yield f"# {how}."


def _views_on(table: str, subject: Subject) -> Iterator[str]:
    for change in [change for one in [*subject.history, subject.rendered] for change in one.changes]:
        if change.verb in {"create view", "replace view", "create materialized view"}:
            names = re.findall(rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?({NAME})", blank(change.text), re.IGNORECASE)
            if table in map(fold, names):
                yield change.spelled
