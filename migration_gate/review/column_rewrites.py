"""The safe ways to add, change, rename and drop a column."""

from __future__ import annotations

import re

from migration_gate.review import revision_code as code
from migration_gate.review.findings import Code
from migration_gate.review.revision_code import batches, execute, outside_transaction, quoted, revision
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import blank

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
    table, column = quoted(change.on), quoted(change.name)
    key = subject.models.key_of(change.on)
    update = (
        f"UPDATE {table} SET {column} = {value} WHERE {column} IS NULL AND {quoted(key)} BETWEEN first_key AND last_key"
    )
    return Code("the rows that exist, in batches", batches(change.on, key, update))


def _proven(change: Change, release: str, why: str) -> tuple[Code, ...]:
    """NOT NULL by way of a check, which is validated while reads and writes go on."""
    table, column = quoted(change.on), quoted(change.name)
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
    table, column, kind = quoted(change.on), quoted(change.name), _type_of(change)
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
    table, column = quoted(change.on), quoted(change.name)
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
    table, column = quoted(change.on), quoted(change.name)
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
    table, column = quoted(change.on), quoted(change.name)
    name = f"{change.on.split('.')[-1]}_{change.name}_key"
    drop = execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(name)}")
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


def _replaced(change: Change, new: str, kind: str, using: str, subject: Subject) -> Rewrite:
    """A second column that a trigger keeps in step until no code uses the first."""
    table, old, fresh = quoted(change.on), quoted(change.name), quoted(new)
    sync = quoted(f"{change.on.split('.')[-1]}_{new}_sync")
    of_new = re.sub(rf"(?<![\w.\"]){re.escape(old)}(?![\w\"])", f"NEW.{old}", using)
    function = (
        f"CREATE FUNCTION {sync}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
        f"    -- Code that knows the new column alone leaves the old one out.\n"
        f"    IF TG_OP = 'UPDATE' OR NEW.{old} IS NOT NULL THEN\n        NEW.{fresh} := {of_new};\n    END IF;\n"
        "    RETURN NEW;\nEND $$"
    )
    trigger = (
        f"CREATE TRIGGER {sync} BEFORE INSERT OR UPDATE OF {old} ON {table} FOR EACH ROW EXECUTE FUNCTION {sync}()"
    )
    add = f"ALTER TABLE {table} ADD COLUMN {fresh} {kind}"
    key = subject.models.key_of(change.on)
    update = f"UPDATE {table} SET {fresh} = {using} WHERE {quoted(key)} BETWEEN first_key AND last_key"
    unsync = [execute(f"DROP TRIGGER {sync} ON {table}"), execute(f"DROP FUNCTION {sync}()")]
    drop_new = execute(f"ALTER TABLE {table} DROP COLUMN {fresh}")
    nullable = execute(f"ALTER TABLE {table} ALTER COLUMN {old} DROP NOT NULL")
    wider = '"""What is nullable is no obstacle to the revisions before: there is nothing to undo."""'
    drop_old = execute(f"ALTER TABLE {table} DROP COLUMN {old}")
    undo = f"raise NotImplementedError({('what only ' + new + ' holds would be lost')!r})".replace("'", '"')
    return (
        (
            f"Add {new} beside {change.name}, kept in step by a trigger, and fill it in batches. The code of that"
            f" release reads {new} and writes {change.name}; that of the next knows {new} alone; then"
            f" {change.name} is dropped."
        ),
        (
            Code(
                "the new column, kept in step",
                revision([execute(add), execute(function), execute(trigger)], [*unsync, drop_new]),
            ),
            Code("the rows that exist, in batches", batches(change.on, key, update)),
            Code(
                f"with the release whose code writes {new} alone",
                revision([nullable], [wider]),
            ),
            Code(
                "one release after that",
                revision([*unsync, drop_old], [undo], code.CODE_BEFORE),
            ),
        ),
    )


def drop_column(change: Change, subject: Subject) -> Rewrite:
    """DROP COLUMN."""
    table, column = quoted(change.on), quoted(change.name)
    kind = subject.type_of(change.on, change.name)
    drop = execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    undo = (
        execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        if kind
        else f'raise NotImplementedError("{change.name} comes back in a new revision only")'
    )
    return (
        (
            f"Release code that no longer uses {change.name} first (where it is NOT NULL without a default, `ALTER"
            f" COLUMN {change.name} DROP NOT NULL` goes with that release); drop it one release later, and declare it."
        ),
        (Code("one release after the last code that uses it", revision([drop], [undo], code.CODE_BEFORE)),),
    )


def _parent(subject: Subject) -> str:
    return subject.rendered.parents[0] if subject.rendered.parents else subject.id
