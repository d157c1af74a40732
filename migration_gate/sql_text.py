"""SQL as text: what is code and what is not, where statements end, how names are folded.

Comments and the contents of literals are blanked before anything is looked for, so that what a function's body
or a comment speaks of is not taken for what the statement does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$]*)'
#: A regular expression for a name as SQL writes it, its schema included.
NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"

_LITERAL = re.compile(
    r"(?P<line>--[^\n]*)|(?P<block>/\*)|(?P<dollar>(?<![\w$])\$(?:[A-Za-z_]\w*)?\$)"
    r"|(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|(?P<name>\"(?:[^\"]|\"\")*\")",
    re.DOTALL,
)


def blank(sql: str, *, names: bool = False) -> str:
    """`sql` with comments and the contents of literals turned into blanks; every place stays where it was.

    Parameters
    ----------
    names: blank the contents of quoted names as well.
    """
    parts: list[str] = []
    position = 0
    while found := _LITERAL.search(sql, position):
        parts.append(sql[position : found.start()])
        end = found.end()
        if found["block"]:
            end = _end_of_comment(sql, found.start())
        elif found["dollar"]:
            close = sql.find(found["dollar"], end)
            end = len(sql) if close < 0 else close + len(found["dollar"])
        text = sql[found.start() : end]
        if found["name"]:
            parts.append(f'"{_blanks(text[1:-1])}"' if names else text)
        elif found["line"] or found["block"]:
            parts.append(_blanks(text))
        else:
            parts.append(f"'{_blanks(text[1:-1])}'")
        position = end
    parts.append(sql[position:])
    return "".join(parts)


def _blanks(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _end_of_comment(sql: str, start: int) -> int:
    """Comments of PostgreSQL nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    return len(sql)


def statements_in(sql: str) -> list[str]:
    """The statements of a text as they are written, comments included, without the semicolons between them."""
    code = blank(sql, names=True)
    cuts, depth = [-1], 0
    for mark in re.finditer(r";|\bBEGIN\s+ATOMIC\b|\bCASE\b|\bEND\b", code, re.IGNORECASE):
        first = mark[0][0].upper()
        if first == ";":
            if not depth:
                cuts.append(mark.start())
        elif first == "E":
            depth -= 1 if depth else 0
        elif first == "B" or depth:
            # CASE counts only within a body that is written as SQL, where one END closes either.
            depth += 1
    cuts.append(len(sql))
    pieces = [(before + 1, after) for before, after in itertools.pairwise(cuts)]
    return [sql[start:end].strip() for start, end in pieces if code[start:end].strip()]


def fold(name: str) -> str:
    """A name as PostgreSQL folds it, without quotes and without the schema `public`."""
    parts = re.findall(_PART, name)
    folded = [part[1:-1].replace('""', '"') if part[0] == '"' else part.lower() for part in parts]
    return ".".join(folded[1:] if len(folded) > 1 and folded[0] == "public" else folded)


def schema_of(name: str) -> str:
    """What stands before a name's last part as it is written, its dot included; empty where nothing does."""
    *schema, _ = re.findall(_PART, name)
    return "".join(f"{part}." for part in schema)


def between_commas(code: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where the parts of a blanked list begin and end; commas inside brackets do not part."""
    depth, begin = 0, start
    for position in range(start, len(code)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[position], 0)
        if code[position] == "," and depth <= 0:
            yield begin, position
            begin = position + 1
    yield begin, len(code)


_VALUES = re.compile(r"'(?:[^']|'')*'|(\$\w*\$).*?\1|(?<![\w$])\d[\d.]*\b", re.DOTALL)
_LONGEST_SHOWN = 120


def without_values(sql: str) -> str:
    """A statement's words for people, cut short, with every value replaced: values can be personal, words are not."""
    return " ".join(_VALUES.sub("?", sql).split())[:_LONGEST_SHOWN]
