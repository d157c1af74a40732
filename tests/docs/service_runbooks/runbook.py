"""A runbook as its reader sees it at night: parts, and in each the lines to type and what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.docs.fenced import ANYTHING, Command, examples
from tests.processes import ROOT

ENGLISH = ROOT / "docs" / "runbooks"
FRENCH = ROOT / "docs" / "fr" / "runbooks"

_IN_A_SENTENCE = re.compile(
    r"`((?:curl|promtool query|docker|kubectl|taskmanager status|taskmanager incidents list)\b [^`]+)`"
)
_BLOCK = re.compile(r"^```(?P<language>sh|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """A line to type. `expected` is what it prints, None where the runbook shows nothing of it."""

    text: str
    expected: str | None = None

    @property
    def program(self) -> str:
        return self.text.split(maxsplit=1)[0]

    @property
    def tells(self) -> bool:
        """Would another output than this be seen? An ellipsis alone takes any."""
        return self.expected is not None and self.expected.strip() != ANYTHING


class Runbook:
    """The English text of one code; the French one shows the same commands, which another test holds."""

    def __init__(self, code: str, folder: Path = ENGLISH) -> None:
        self.code = code
        self.text = (folder / f"{code}.md").read_text(encoding="utf-8")

    @cached_property
    def confirm(self) -> list[Line]:
        return list(lines(self.part("Confirm it")))

    @cached_property
    def mend(self) -> list[Line]:
        return list(lines(self.part("Mend it")))

    @cached_property
    def mended(self) -> list[Line]:
        return list(lines(self.part("Know that it is mended")))

    def every_line(self) -> list[Line]:
        return list(lines(self.text))

    @cached_property
    def in_sentences(self) -> list[str]:
        """Whole commands that stand in a sentence; the name of a program with its verb is none."""
        return _IN_A_SENTENCE.findall(_BLOCK.sub("", self.text))

    def part(self, heading: str) -> str:
        _, found, after = self.text.partition(f"\n## {heading}\n")
        assert found, f"{self.code}: no part {heading!r}"
        return after.partition("\n## ")[0]


def lines(text: str) -> Iterator[Line]:
    """The lines to type, in order."""
    for block in _BLOCK.finditer(text):
        if block["language"] == "console":
            for command in examples(block[0] + "\n"):
                assert isinstance(command, Command)
                yield Line(command.text, command.expected)
        else:
            yield from map(Line, block["text"].splitlines())
