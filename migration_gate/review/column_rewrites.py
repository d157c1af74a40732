"""The safe ways to add a column, and to make one NOT NULL."""

from __future__ import annotations

import re

from migration_gate.review import revision_code as code
from migration_gate.review.findings import Code
from migration_gate.review.revision_code import batches, execute, outside_transaction, quoted, revision
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import blank, schema_of

Rewrite = tuple[str, tuple[Code, ...]]

_ADD = re.compile(r'ADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:"[^"]+"|[\w$]+)\s+(.*)', re.IGNORECASE | re.DOTALL)
_CONSTRAINTS = re.compile(
    r"\s+(?:NOT\s+NULL|NULL|DEFAULT|UNIQUE|PRIMARY|REFERENCES|CHECK|CONSTRAINT|GENERATED|COLLATE)\b", re.IGNORECASE
)

#: What the rows that exist get, where nobody has said yet.
_NEUTRAL = (
    (r"(?:small|big)?int|numeric|decimal|real|double|float", "0"),
    (r"bool", "false"),
    (r"text|char|varchar|citext", "''"),
    (r"jsonb?", "'{}'"),
    (r"timestamp|date", "now()"),
    (r"uuid", "gen_random_uuid()"),
)


def _type_of(change: Change) -> str:
    found = _ADD.match(change.text)
    definition = found[1] if found else "text"
    end = _CONSTRAINTS.search(blank(definition))
    return definition[: end.start()] if end else definition


def _filled(change: Change, subject: Subject, value: str) -> Code:
    table, column = change.spelled, quoted(change.name)
    key = subject.models.key_of(change.on)
    update = (
        f"UPDATE {table} SET {column} = {value} WHERE {column} IS NULL AND {quoted(key)} BETWEEN first_key AND last_key"
    )
    return Code("the rows that exist, in batches", batches(change.spelled, key, update))


def _proven(change: Change, release: str, why: str) -> tuple[Code, ...]:
    """NOT NULL by way of a check, which is validated while reads and writes go on."""
    table, column = change.spelled, quoted(change.name)
    check = quoted(f"{change.on.split('.')[-1]}_{change.name}_not_null_check")
    declared = code.code_at(release, why)
    add = execute(f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID")
    drop = execute(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
    validate = execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}")
    settle = [
        "# The valid check tells PostgreSQL that no row has to be read.",
        execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"),
        drop,
    ]
    undo = [execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL"), add]
    return (
        Code("a check, for new rows", revision([add], [drop], declared)),
        Code("the check, for all rows", revision([validate], [code.NOTHING_TO_UNDO])),
        Code("NOT NULL, on the check's word", revision(settle, undo, declared)),
    )


def required_column(change: Change, subject: Subject) -> Rewrite:
    """ADD COLUMN … NOT NULL without a default."""
    table, column, kind = change.spelled, quoted(change.name), _type_of(change)
    value = next((value for pattern, value in _NEUTRAL if re.match(pattern, kind, re.IGNORECASE)), "NULL")
    add = execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    drop = execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    later = _proven(change, subject.id, f"Code from this revision on writes {change.name}.")
    titled = (Code("one release later, when all code writes it: " + later[0].title, later[0].code), *later[1:])
    return (
        (
            f"Add it nullable, let code write it, fill the rows that exist ({value} stands for your value), and make it"
            " NOT NULL one release later. Where one constant fits all rows, a server_default does it in one revision."
        ),
        (Code("the column, nullable", revision([add], [drop])), _filled(change, subject, value), *titled),
    )


def volatile_default(change: Change, subject: Subject) -> Rewrite:
    """ADD COLUMN with a default that is worked out for each row."""
    table, column = change.spelled, quoted(change.name)
    found = re.search(
        r"\bDEFAULT\s+(.*?)(?:\s+(?:NOT\s+NULL|NULL|CHECK\b.*|CONSTRAINT\b.*))?$", change.text, re.I | re.S
    )
    if not found:
        return "Add a plain column and fill it in batches.", ()
    default = found[1].strip()
    add = [
        execute(f"ALTER TABLE {table} ADD COLUMN {column} {_type_of(change)}"),
        "# Set by itself, a default counts for new rows alone.",
        execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}"),
    ]
    drop = execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    steps = [Code("the column and its default", revision(add, [drop])), _filled(change, subject, default)]
    if re.search(r"\bNOT\s+NULL\b", change.text, re.IGNORECASE):
        steps += _proven(change, _parent(subject), "Older code leaves the column out, and gets its default.")
    return "Add the column first, its default second, and fill the rows that exist in batches.", tuple(steps)


def not_null(change: Change, subject: Subject) -> Rewrite:
    """ALTER COLUMN … SET NOT NULL."""
    return (
        f"Fill what is NULL in batches first. Then let a check prove it, for which {change.on} is not locked.",
        _proven(change, _parent(subject), f"Code from this revision on writes {change.name} in every row."),
    )


def with_reference(change: Change) -> Rewrite:
    """ADD COLUMN … REFERENCES: the column and its foreign key in revisions of their own."""
    table, column = change.spelled, quoted(change.name)
    found = re.search(r"\bREFERENCES\b.*$", change.text, re.IGNORECASE | re.DOTALL)
    key = quoted(f"{change.on.split('.')[-1]}_{change.name}_fkey")
    reference = f"ADD CONSTRAINT {key} FOREIGN KEY ({column}) {found[0].strip() if found else ''} NOT VALID"
    add = [
        execute(f"ALTER TABLE {table} ADD COLUMN {column} {_type_of(change)}"),
        execute(f"ALTER TABLE {table} {reference}"),
    ]
    validate = execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {key}")
    drop = execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    return (
        "Add the column, and its foreign key NOT VALID; validate it in the next revision.",
        (
            Code("the column and its foreign key, for new rows", revision(add, [drop])),
            Code("the foreign key, for all rows", revision([validate], [code.NOTHING_TO_UNDO])),
        ),
    )


def with_unique(change: Change, subject: Subject) -> Rewrite:
    """ADD COLUMN … UNIQUE: the index is built outside the transaction."""
    table, column = change.spelled, quoted(change.name)
    name = f"{change.on.split('.')[-1]}_{change.name}_key"
    drop = execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_of(change.spelled)}{quoted(name)}")
    build = execute(f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(name)} ON {table} ({column})")
    use = execute(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} UNIQUE USING INDEX {quoted(name)}")
    declared = code.code_at(_parent(subject), "Older code leaves the column at NULL, which the index does not refuse.")
    leave = execute(f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}")
    return (
        "Add the column, build a unique index outside the transaction, and let the constraint take it over.",
        (
            Code(
                "the column",
                revision(
                    [execute(f"ALTER TABLE {table} ADD COLUMN {column} {_type_of(change)}")],
                    [execute(f"ALTER TABLE {table} DROP COLUMN {column}")],
                ),
            ),
            Code(
                "the index, while writes go on",
                revision([outside_transaction([drop, build])], [outside_transaction([drop])], declared),
            ),
            Code("the constraint, on that index", revision([use], [leave])),
        ),
    )


def _parent(subject: Subject) -> str:
    return subject.rendered.parents[0] if subject.rendered.parents else subject.id
