"""The safe way to do what a statement does, as migration code in the project's own names.

Every step is a revision of its own, in the order in which they are released; its title says where a release ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from migration_gate.review import revision_code as code
from migration_gate.review.column_replacements import change_type, drop_column, rename_column
from migration_gate.review.column_rewrites import (
    not_null,
    required_column,
    volatile_default,
    with_reference,
    with_unique,
)
from migration_gate.review.findings import Code
from migration_gate.review.revision_code import execute, outside_transaction, quoted, revision
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change
from migration_gate.sql_text import NAME, blank, schema_of

Rewrite = tuple[str, tuple[Code, ...]]


def rewrite_for(change: Change, subject: Subject) -> Rewrite:
    """What to do instead of `change`: a sentence, and the revisions. Both empty where there is nothing to offer."""
    if change.verb == "add column":
        return _add_column(change, subject)
    write = _REWRITES.get(change.verb)
    if write is None:
        return _take_away(change, subject) if change.verb.startswith("drop ") else ("", ())
    advice, steps = write(change, subject)
    return advice, (*_columns_first(change, subject), *steps) if steps else ()


def _columns_first(change: Change, subject: Subject) -> tuple[Code, ...]:
    """The columns that an index or a constraint is about, where this very revision adds them."""
    added = [
        each
        for each in subject.rendered.changes
        if each.verb == "add column" and (each.on, each.text) != (change.on, change.text)
        if each.on == change.on and each.name in change.columns and _is_plain(each)
    ]
    if not added:
        return ()
    add = [execute(f"ALTER TABLE {each.spelled} {each.text}") for each in added]
    drop = [execute(f"ALTER TABLE {each.spelled} DROP COLUMN {quoted(each.name)}") for each in reversed(added)]
    return (Code("the column" if len(added) == 1 else "the columns", revision(add, drop)),)


def _add_column(change: Change, subject: Subject) -> Rewrite:
    if re.search(r"\bPRIMARY\s+KEY\b|\bGENERATED\b", change.text, re.IGNORECASE):
        return "Add a plain column, fill it in batches, and let code or a trigger keep it.", ()
    if change.required:
        return required_column(change, subject)
    if re.search(r"\bREFERENCES\b", change.text, re.IGNORECASE):
        return with_reference(change)
    if re.search(r"\bUNIQUE\b", change.text, re.IGNORECASE):
        return with_unique(change, subject)
    return volatile_default(change, subject)


def _is_plain(added: Change) -> bool:
    """Whether a column may be added as it is: neither its default nor what it promises makes anybody wait."""
    works = r"\bDEFAULT\s+(?!now\s*\(\s*\))[^,]*\(|\b(?:REFERENCES|UNIQUE|PRIMARY|GENERATED|CHECK)\b"
    return not added.required and re.search(works, blank(added.text), re.IGNORECASE) is None


def _create_index(change: Change, _: Subject) -> Rewrite:
    name = change.name or "_".join([change.on.split(".")[-1], *change.columns, "idx"])
    unique = change.verb == "create unique index"
    simple = re.fullmatch(
        r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"
        rf"(?:(?!ON\s)(?:{NAME})\s+)?ON\s+{NAME}\s*\(\s*{NAME}(?:\s*,\s*{NAME})*\s*\)",
        change.text.strip(),
        re.IGNORECASE,
    )
    if simple and not schema_of(change.spelled):
        columns = ", ".join(f'"{column}"' for column in change.columns)
        create = f'op.create_index("{name}", "{change.on}", [{columns}], '
        create += f"{'unique=True, ' if unique else ''}postgresql_concurrently=True)"
    else:
        rest = re.sub(
            rf"^CREATE\s+(UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?(IF\s+NOT\s+EXISTS\s+)?(?:(?!ON\b){NAME}\s+)?ON\b",
            f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {quoted(name)} ON",
            change.text.strip(),
            flags=re.IGNORECASE,
        )
        create = execute(rest)
    drop = execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_beside(change.spelled, name)}")
    declarations = [code.CODE_BEFORE] if unique else []
    built = revision([outside_transaction([drop, create])], [outside_transaction([drop])], *declarations)
    return (
        (
            "Build it outside the transaction, in a revision of its own; the first line removes what a build that was"
            " cut off left behind."
        ),
        (Code("the index, while writes go on", built),),
    )


def _beside(table: str, name: str) -> str:
    """An index lives in its table's schema."""
    return schema_of(table) + quoted(name)


def _drop_index(change: Change, _: Subject) -> Rewrite:
    name = change.spelled
    drop = outside_transaction([execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")])
    undo = f'raise NotImplementedError("build {change.on} again in a new revision")'
    return "Drop it outside the transaction.", (Code("the index, while reads go on", revision([drop], [undo])),)


def _named(change: Change, suffix: str) -> tuple[str, str]:
    """A constraint's name (PostgreSQL's own where it has none), and its definition with that name."""
    if change.name:
        return change.name, change.text
    name = "_".join([change.on.split(".")[-1], *change.columns[:1], suffix])
    return name, re.sub(r"^ADD\s+", f"ADD CONSTRAINT {quoted(name)} ", change.text, flags=re.IGNORECASE)


def _not_valid(suffix: str) -> Callable[[Change, Subject], Rewrite]:
    def write(change: Change, _: Subject) -> Rewrite:
        table = change.spelled
        name, text = _named(change, suffix)
        drop = execute(f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}")
        add = execute(f"ALTER TABLE {table} {text}{'' if change.not_valid else ' NOT VALID'}")
        validate = execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)}")
        return (
            (
                "Add it NOT VALID, which reads no row and holds from then on for new ones; validate it in the next"
                " revision, while reads and writes go on. Rows that break it must be mended in between."
            ),
            (
                Code("the constraint, for new rows", revision([add], [drop], code.CODE_BEFORE)),
                Code("the constraint, for all rows", revision([validate], [code.NOTHING_TO_UNDO])),
            ),
        )

    return write


def _validate(change: Change, subject: Subject) -> Rewrite:
    """VALIDATE in the transaction of its NOT VALID: the two go into two revisions."""
    for each in subject.rendered.changes:
        if each.on == change.on and each.name == change.name and each.verb in {"add check", "add foreign key"}:
            return _not_valid("check")(each, subject)
    return "Validate it in a revision of its own.", ()


def _by_index(change: Change, _: Subject) -> Rewrite:
    table = change.spelled
    primary = change.verb == "add primary key"
    name = _named(change, "key")[0] if not primary else change.name or f"{change.on.split('.')[-1]}_pkey"
    found = re.search(r"(\bNULLS\s+NOT\s+DISTINCT\s*)?\(([^)]*)\)(.*)$", change.text, re.IGNORECASE | re.DOTALL)
    if not found:
        return "", ()
    build = f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(name)} ON {table} ({found[2]})"
    drop = execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_beside(change.spelled, name)}")
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    distinct = f" {found[1].strip()}" if found[1] else ""
    using = f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {kind} USING INDEX {quoted(name)}{found[3].rstrip()}"
    undo = execute(f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}")
    index = revision(
        [outside_transaction([drop, execute(build + distinct)])], [outside_transaction([drop])], code.CODE_BEFORE
    )
    advice = "Build the index outside the transaction, then let the constraint take it over, which reads no row."
    if primary:
        advice += " The columns must be NOT NULL before: `SET NOT NULL` by way of a valid check."
    constraint = revision([execute(using)], [undo], *([code.CODE_BEFORE] if primary else []))
    return advice, (Code("the index, while writes go on", index), Code("the constraint, on that index", constraint))


def _rename_table(change: Change, _: Subject) -> Rewrite:
    old, name = change.spelled, quoted(change.to)
    new = schema_of(old) + name
    here = [
        execute(f"ALTER TABLE {old} RENAME TO {name}"),
        "# Old code reads and writes through the view; who may use the table must be granted the view as well.",
        execute(f"CREATE VIEW {old} AS SELECT * FROM {new}"),
    ]
    back = [execute(f"DROP VIEW {old}"), execute(f"ALTER TABLE {new} RENAME TO {old.removeprefix(schema_of(old))}")]
    again = [execute(f"CREATE VIEW {old} AS SELECT * FROM {new}")]
    return (
        "Leave a view under the old name, and drop it one release after the last code that uses it.",
        (
            Code("the new name, and a view under the old one", revision(here, back)),
            Code("the end of the old name, one release later",
                 revision([execute(f"DROP VIEW {old}")], again, code.CODE_BEFORE)),
        ),
    )  # fmt: skip


def _detach(change: Change, _: Subject) -> Rewrite:
    text = f"ALTER TABLE {change.spelled} {change.text.strip()} CONCURRENTLY"
    undo = 'raise NotImplementedError("attach the partition again with its bounds in a new revision")'
    detached = revision([outside_transaction([execute(text)])], [undo], code.CODE_BEFORE)
    return "Detach it concurrently, outside the transaction.", (Code("the partition", detached),)


def _take_away(change: Change, subject: Subject) -> Rewrite:
    statement = next(each.sql for each in subject.rendered.statements if change in each.changes)
    kind = change.verb.removeprefix("drop ")
    made = [
        each.text
        for one in subject.history
        for each in one.changes
        if each.on == change.on and each.verb in {f"create {kind}", f"replace {kind}"}
    ]
    undo = (
        execute(made[-1]) if made else 'raise NotImplementedError("what is dropped comes back in a new revision only")'
    )
    return (
        "Release code that no longer uses it first; drop it one release later, and declare what works without it.",
        (
            Code(
                "one release after the last code that uses it", revision([execute(statement)], [undo], code.CODE_BEFORE)
            ),
        ),
    )


def _exclude(_: Change, __: Subject) -> Rewrite:
    return (
        (
            "PostgreSQL has no way to add an exclusion constraint beside traffic: rehearse how long it takes, and"
            " give it a quiet hour."
        ),
        (),
    )


_REWRITES: dict[str, Callable[[Change, Subject], Rewrite]] = {
    "create index": _create_index,
    "create unique index": _create_index,
    "drop index": _drop_index,
    "add check": _not_valid("check"),
    "add foreign key": _not_valid("fkey"),
    "validate constraint": _validate,
    "add unique": _by_index,
    "add primary key": _by_index,
    "add exclude": _exclude,
    "set not null": not_null,
    "change type": change_type,
    "rename column": rename_column,
    "rename table": _rename_table,
    "drop column": drop_column,
    "detach partition": _detach,
}
