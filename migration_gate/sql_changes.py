"""What SQL statements change, read from their words: enough to tell a revision's phase, not a parser of SQL.

A DO block is looked into, since it runs at once; a function's body is not, since nobody knows when it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migration_gate.sql_text import NAME, between_commas, blank, fold, statements_in

_DATA = frozenset({"update", "delete", "insert", "insert select", "merge", "truncate", "copy"})


@dataclass(frozen=True)
class Change:
    """One thing that a statement does.

    `verb` is in PostgreSQL's words (`add column`, `drop table`, `set not null`). `on` is the table, or the object
    itself where it is none; `name` the column, constraint or index; `to` a new name. All are folded as PostgreSQL
    folds them, without the schema `public`; `spelled` is `on` as the statement writes it, to be written again.
    `columns` are those that a constraint or an index speaks of; `text` holds the words of this change alone.
    """

    verb: str
    on: str
    spelled: str
    name: str = ""
    to: str = ""
    text: str = ""
    columns: tuple[str, ...] = ()
    has_default: bool = False
    required: bool = False
    using_index: bool = False
    not_valid: bool = False
    concurrently: bool = False

    @property
    def moves_data(self) -> bool:
        return self.verb in _DATA


def changes_in(sql: str) -> list[Change]:
    """What a text changes, in order. Statements that change nothing that older code could notice give nothing."""
    return [change for statement in statements_in(sql) for change in _of_statement(statement)]


def _of_statement(statement: str) -> Iterator[Change]:
    code = blank(statement)
    words = code.strip()
    start = len(code) - len(code.lstrip())
    statement = statement[start : start + len(words)]
    if _match(r"DO\b", words):
        for each in statements_of_block(statement):
            yield from _of_statement(each)
    elif found := _match(rf"ALTER\s+(?:FOREIGN\s+)?TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?({NAME})\s*\*?", words):
        for begin, end in between_commas(words, found.end()):
            part = words[begin:end]
            text = statement[begin:end].strip()
            yield from _of_table(found[1], part.strip(), text)
    else:
        yield from _of_object(words, statement)
        yield from _of_rows(words, statement)


def statements_of_block(statement: str) -> Iterator[str]:
    """The statements in the body of a DO block, each as if it were run, whatever a condition says."""
    body = re.search(r"\$(\w*)\$(.*)\$\1\$|'((?:[^']|'')*)'", statement, re.DOTALL)
    if body:
        source = body[2] if body[2] is not None else body[3].replace("''", "'")
        position = 0
        for mark in re.finditer(r";|\b(?:BEGIN|THEN|ELSE|LOOP)\b|\Z", blank(source), re.IGNORECASE):
            if source[position : mark.start()].strip():
                yield source[position : mark.start()].strip()
            position = mark.end()


def _match(pattern: str, code: str) -> re.Match[str] | None:
    return re.match(pattern, code, re.IGNORECASE)


def _names(code: str) -> tuple[str, ...]:
    """The name that each part of a list begins with; what is no name (an expression) stands as it is written."""
    parts = [code[start:end].strip() for start, end in between_commas(code)]
    return tuple(fold(found[0]) if (found := _match(NAME, part)) else part for part in parts)


_COLUMN = rf"(?:COLUMN\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?({NAME})"
_DEFAULT = re.compile(r"\bDEFAULT\b|\bGENERATED\b|^\s*(?:small|big)?serial\b", re.IGNORECASE)
_CONSTRAINT = rf"ADD\s+(?:CONSTRAINT\s+({NAME})\s+)?(CHECK|UNIQUE|PRIMARY\s+KEY|FOREIGN\s+KEY|EXCLUDE|NOT\s+NULL)\b"

# What may follow ALTER COLUMN c.
_OF_COLUMN = (
    ("change type", r"(?:SET\s+DATA\s+)?TYPE\b"),
    ("set not null", r"SET\s+NOT\s+NULL"),
    ("drop not null", r"DROP\s+NOT\s+NULL"),
    ("set default", r"SET\s+DEFAULT"),
    ("drop default", r"DROP\s+DEFAULT"),
    ("drop expression", r"DROP\s+EXPRESSION"),
    ("drop identity", r"DROP\s+IDENTITY"),
    ("add generated", r"(?:ADD|SET)\s+GENERATED\s+ALWAYS"),
)


def _of_table(spelled: str, code: str, text: str) -> Iterator[Change]:
    """One action of ALTER TABLE."""
    table = fold(spelled)
    if found := _match(_CONSTRAINT, code):
        yield _constraint(spelled, fold(found[1] or ""), " ".join(found[2].lower().split()), code, text)
    elif found := _match(rf"ADD\s+{_COLUMN}\s", code):
        definition = code[found.end() :]
        default = _DEFAULT.search(definition) is not None
        required = not default and re.search(r"\bNOT\s+NULL\b|\bPRIMARY\s+KEY\b", definition, re.IGNORECASE)
        yield Change(
            "add column", table, spelled, fold(found[1]), text=text, has_default=default, required=bool(required)
        )
        if re.search(r"\bUNIQUE\b", definition, re.IGNORECASE):
            yield Change("add unique", table, spelled, text=text, columns=(fold(found[1]),))
    elif found := _match(rf"ALTER\s+(?:COLUMN\s+)?({NAME})\s+", code):
        for verb, pattern in _OF_COLUMN:
            if _match(pattern, code[found.end() :]):
                yield Change(verb, table, spelled, fold(found[1]), text=text)
    elif found := _match(rf"(DROP|VALIDATE)\s+CONSTRAINT\s+(?:IF\s+EXISTS\s+)?({NAME})", code):
        yield Change(f"{found[1].lower()} constraint", table, spelled, fold(found[2]), text=text)
    elif found := _match(rf"DROP\s+{_COLUMN}", code):
        yield Change("drop column", table, spelled, fold(found[1]), text=text)
    elif found := _match(rf"RENAME\s+TO\s+({NAME})", code):
        yield Change("rename table", table, spelled, to=fold(found[1]), text=text)
    elif found := _match(rf"RENAME\s+(CONSTRAINT\s+)?(?:COLUMN\s+)?({NAME})\s+TO\s+({NAME})", code):
        verb = "rename constraint" if found[1] else "rename column"
        yield Change(verb, table, spelled, fold(found[2]), to=fold(found[3]), text=text)
    elif _match(r"SET\s+SCHEMA|DETACH\s+PARTITION", code):
        concurrently = "CONCURRENTLY" in code.upper()
        yield Change(" ".join(code.lower().split()[:2]), table, spelled, text=text, concurrently=concurrently)
    elif _match(r"(?:ENABLE|FORCE)\s+ROW", code):
        yield Change("enable row security", table, spelled, text=text)
    elif code:
        yield Change("alter table", table, spelled, text=text)


def _constraint(spelled: str, name: str, kind: str, code: str, text: str) -> Change:
    using = re.search(rf"\bUSING\s+INDEX\s+({NAME})", code, re.IGNORECASE)
    listed = re.search(r"\b(?:CHECK|UNIQUE|KEY)\b[^(]*\((.*)\)", code, re.IGNORECASE | re.DOTALL)
    columns: tuple[str, ...] = ()
    if listed and kind == "check":
        columns = _columns_of_expression(listed[1])
    elif listed:
        columns = _names(listed[1].split(")")[0])
    not_valid = re.search(r"\bNOT\s+VALID\b", code, re.IGNORECASE) is not None
    return Change(
        f"add {kind}",
        fold(spelled),
        spelled,
        name,
        text=text,
        columns=columns,
        using_index=using is not None,
        not_valid=not_valid,
    )


_NOT_COLUMNS = frozenset(
    re.findall(
        r"\w+",
        """all and any array as asymmetric at between both by case cast collate current_date current_timestamp distinct
        do else end escape exists extract false for from ilike in interval is isnull like localtime localtimestamp not
        notnull null on operator or overlaps similar some symmetric then time timestamp date to true unknown when with
        zone""",
    )
)


def _columns_of_expression(code: str) -> tuple[str, ...]:
    """The names in an expression that are neither words of SQL, nor functions, nor types behind `::`."""
    words = re.finditer(rf"(::\s*)?({NAME})(\s*\()?", code)
    names = (fold(word[2]) for word in words if not word[1] and not word[3])
    return tuple(dict.fromkeys(name for name in names if name not in _NOT_COLUMNS))


_KINDS = (
    r"MATERIALIZED\s+VIEW|FOREIGN\s+TABLE|TABLE|VIEW|TYPE|DOMAIN|FUNCTION|PROCEDURE|ROUTINE|AGGREGATE|SCHEMA|SEQUENCE"
    r"|EXTENSION|TRIGGER|POLICY|INDEX|RULE|COLLATION|OPERATOR|CAST"
)
_CREATE = (
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:GLOBAL|LOCAL)\s+)?(?:TEMP(?:ORARY)?\s+|UNLOGGED\s+|RECURSIVE\s+|CONSTRAINT\s+)*"
    rf"({_KINDS})\s+(?:IF\s+NOT\s+EXISTS\s+)?({NAME})"
)
_INDEX = (
    r"CREATE\s+(UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"(?:(?!ON\s)({NAME})\s+)?ON\s+(?:ONLY\s+)?({NAME})"
)
_DROP = rf"DROP\s+({_KINDS})\s+(CONCURRENTLY\s+)?(?:IF\s+EXISTS\s+)?([^;]*)"


def _of_object(code: str, text: str) -> Iterator[Change]:
    """CREATE, DROP and ALTER of what is no table, and what is said to a table outside ALTER TABLE."""
    if found := _match(_INDEX, code):
        listed = re.search(r"\((.*)\)", code[found.end() :], re.DOTALL)
        verb = "create unique index" if found[1] else "create index"
        columns = _names(listed[1].split(")")[0]) if listed else ()
        name = fold(found[3] or "")
        yield Change(verb, fold(found[4]), found[4], name, text=text, columns=columns, concurrently=bool(found[2]))
    elif found := _match(_CREATE, code):
        replaces = _match(r"CREATE\s+OR\s+REPLACE", code)
        yield Change(f"{'replace' if replaces else 'create'} {_kind(found[1])}", fold(found[2]), found[2], text=text)
    elif found := _match(_DROP, code + " "):
        for start, end in between_commas(found[3]):
            named = re.match(rf"\s*({NAME})(?:.*?\bON\s+({NAME}))?", found[3][start:end], re.IGNORECASE | re.DOTALL)
            if named:
                on = named[2] or named[1]
                yield Change(
                    f"drop {_kind(found[1])}", fold(on), on, fold(named[1]), text=text, concurrently=bool(found[2])
                )
    elif found := _match(rf"ALTER\s+({_KINDS})\s+(?:IF\s+EXISTS\s+)?({NAME})\s*", code):
        yield from _of_altered(_kind(found[1]), found[2], code[found.end() :], text)
    elif found := _match(rf"REVOKE\b[^;]*?\bON\s+(?:TABLE\s+)?({NAME})", code):
        yield Change("revoke", fold(found[1]), found[1], text=text)


def _kind(words: str) -> str:
    kind = " ".join(words.lower().split())
    return "table" if kind == "foreign table" else kind


def _of_altered(kind: str, spelled: str, rest: str, text: str) -> Iterator[Change]:
    name = fold(spelled)
    if found := _match(r"RENAME\s+[^;]*?\bTO\s+(\S+)", rest):
        # A view's column and an enum's value are renamed in the same words as the object.
        yield Change(f"rename {kind}", name, spelled, to=fold(found[1]), text=text)
    elif _match(r"SET\s+SCHEMA", rest):
        yield Change("set schema", name, spelled, text=text)
    elif _match(r"ADD\s+VALUE", rest):
        yield Change("add value", name, spelled, text=text)
    elif _match(r"DROP\s+ATTRIBUTE|ALTER\s+ATTRIBUTE", rest):
        yield Change("drop attribute", name, spelled, text=text)
    elif kind == "domain" and _match(r"ADD\b|SET\s+NOT\s+NULL", rest):
        yield Change("add domain constraint", name, spelled, text=text)


_ROWS = (
    ("update", rf"(?<!\bFOR )(?<!\bDO )(?<!\bKEY )(?<!\bON )\bUPDATE\s+(?:ONLY\s+)?({NAME})"),
    ("delete", rf"\bDELETE\s+FROM\s+(?:ONLY\s+)?({NAME})"),
    ("insert", rf"\bINSERT\s+INTO\s+({NAME})"),
    ("merge", rf"\bMERGE\s+INTO\s+(?:ONLY\s+)?({NAME})"),
)


def _of_rows(code: str, text: str) -> Iterator[Change]:
    """What happens to rows, in a statement or in the common table expressions before it."""
    if found := _match(rf"TRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?({NAME})", code):
        yield Change("truncate", fold(found[1]), found[1], text=text)
    elif found := _match(rf"COPY\s+({NAME})[^;]*\bFROM\b", code):
        yield Change("copy", fold(found[1]), found[1], text=text)
    elif _match(r"(?:WITH|UPDATE|DELETE|INSERT|MERGE)\b", code):
        even = re.sub(r"\s+", " ", code)
        for verb, pattern in _ROWS:
            for row in re.finditer(pattern, even, re.IGNORECASE):
                reads = verb == "insert" and re.search(r"\bSELECT\b.*\bFROM\b", even, re.IGNORECASE)
                yield Change("insert select" if reads else verb, fold(row[1]), row[1], text=text)
