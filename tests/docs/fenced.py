"""The fenced blocks of a Markdown document, and what its examples promise.

A block is one of two things:

* `console`: commands after `$ `, continued where a line ends with a backslash, each followed by what it prints. An
  ellipsis in it stands for what differs each time: inside a line for any characters, on a line of its own for any
  lines, be it none.
* a program in `sh`, `python` or `javascript`, whose first line is a comment that names its file. A command runs it.

Whatever else stands in a fence is refused, so that no example goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

ANYTHING = "…"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)
_FILE_NAME = re.compile(r"(?:#|//) (?P<name>[\w.-]+)\n")
PROGRAMS = frozenset({"sh", "python", "javascript"})


class NotRunnable(ValueError):
    """A block that no runner takes."""


@dataclass(frozen=True)
class Command:
    """A command, where it stands, and what it prints."""

    line: int
    text: str
    expected: str


@dataclass(frozen=True)
class Program:
    """A file that commands run."""

    line: int
    name: str
    text: str


def examples(document: str) -> Iterator[Command | Program]:
    """What the blocks of a document hold, in order.

    Raises
    ------
    NotRunnable: a block is neither commands nor a program with a name.
    """
    if re.search(r"^[ >\t]*(```|~~~)", _FENCE.sub("", document), re.MULTILINE):
        raise NotRunnable("a fence that is never closed, or of another form than three backticks after blanks")
    for fence in _FENCE.finditer(document):
        line = document.count("\n", 0, fence.start()) + 1
        language, text = fence["language"], dedent(fence["text"])
        if language == "console":
            yield from _commands(text, line + 1)
        elif language in PROGRAMS and (named := _FILE_NAME.match(text)):
            yield Program(line, named["name"], text)
        else:
            raise NotRunnable(f"line {line}: no runner takes this block of {language or 'no language'}")


def _commands(text: str, line: int) -> Iterator[Command]:
    if not text.startswith("$ "):
        raise NotRunnable(f"line {line}: the first line of a console block must be a command after `$ `")
    for part in re.split(r"^(?=\$ )", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = next(number for number, one in enumerate(lines, 1) if not one.endswith("\\"))
        yield Command(line, "\n".join(lines[:length])[2:], "\n".join(lines[length:]))
        line += len(lines)


def prints(expected: str, printed: str) -> bool:
    """Is this what was expected, an ellipsis matching anything?"""
    pattern = "".join(map(_pattern, expected.splitlines()))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _pattern(line: str) -> str:
    if line.strip() == ANYTHING:
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, line.split(ANYTHING))) + r"\n"


def _lines(printed: str) -> list[str]:
    return printed.replace("\r", "").rstrip("\n").split("\n") if printed.strip("\r\n") else []
