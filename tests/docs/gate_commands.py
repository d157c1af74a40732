"""The commands that a document shows, read by the parsers of the programs themselves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from alembic.config import CommandLine

from migration_gate import cli

_FENCE = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
# A verb by itself, in a sentence, is its name and no command line.
_INLINE = re.compile(r"`((?:alembic|migration-gate) [^`…\s]+ [^`…]+)`")
_OPERATORS = frozenset({";", "&&", "||", "|", "&", "(", ")", "<", ">", ">>"})
PROGRAMS = frozenset({"alembic", "migration-gate"})


def fences(document: str, *languages: str) -> Iterator[str]:
    """The text of each fenced block in one of these languages; of every block where none is given."""
    for fence in _FENCE.finditer(document):
        if not languages or fence["language"] in languages:
            yield fence["text"]


def typed(document: str) -> Iterator[str]:
    """Each line that a reader types: those of `sh` blocks, and after `$ ` those of `console` blocks."""
    for text in fences(document, "sh"):
        yield from _joined(text.splitlines())
    for text in fences(document, "console"):
        yield from _joined(line[2:] for line in text.splitlines() if line.startswith("$ "))


def commands(document: str) -> Iterator[list[str]]:
    """The words of each command of ours: from fenced blocks, and from what stands in backticks in a sentence."""
    for line in (*typed(document), *_INLINE.findall(_FENCE.sub("", document))):
        if any(program in line for program in PROGRAMS):
            yield from (words for words in _split(line) if words and words[0] in PROGRAMS)


def parse(words: list[str]) -> None:
    """Raise SystemExit where the program itself would not take this command line."""
    program, *arguments = words
    if program == "alembic":
        CommandLine(prog="alembic").parser.parse_args(arguments)
    else:
        cli._parser(arguments).parse_args(arguments)


def _joined(lines: Iterator[str] | list[str]) -> list[str]:
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def _split(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in _OPERATORS:
            yield _without_prefix(words)
            words = []
        else:
            words.append(word)
    yield _without_prefix(words)


def _without_prefix(words: list[str]) -> list[str]:
    """Without variables that are set for the command, or taken away from it."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words[3:] if words[:2] == ["env", "-u"] else words
