"""A language to write a post-mortem in: its sentences, of a file beside this one, and how it writes numbers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Language:
    """Sentences by key, with the names of their values in braces.

    Parameters
    ----------
    words: the document's own: headings, sentences.
    events: a sentence for each `Event.key`.
    causes: a sentence for each code.
    typeset: how a sentence is printed.
    """

    words: Mapping[str, str]
    events: Mapping[str, str]
    causes: Mapping[str, str]
    typeset: Callable[[str], str]

    def date(self, at: datetime) -> str:
        """A day in words. Not by the locale of whoever runs it."""
        day = self.words["first_day"] if at.day == 1 else str(at.day)
        return f"{day} {self.words['months'].split()[at.month - 1]} {at.year}"

    def number(self, number: int) -> str:
        """A whole number, in groups of three digits."""
        return f"{number:,}".replace(",", self.words["thousands"])

    def percent(self, share: float) -> str:
        """A share of one."""
        return self.words["percent"].format(number=f"{share * 100:.1f}".replace(".", self.words["decimal"]))

    def duration(self, seconds: float | None) -> str:
        """In the two largest units, or finer where it is short."""
        if seconds is None:
            return self.words["not_known"]
        if seconds < 1:
            return self.typeset(f"{seconds * 1000:.0f} ms")
        if seconds < 10:
            return self.typeset(f"{seconds:.1f} s").replace(".", self.words["decimal"])
        whole = round(seconds)
        if whole < 60:
            return self.typeset(f"{whole} s")
        if whole < 3600:
            return self.typeset(f"{whole // 60} min {whole % 60:02} s")
        if whole < 86400:
            return self.typeset(f"{whole // 3600} h {whole % 3600 // 60:02} min")
        return self.typeset(f"{whole // 86400} {self.words['days']} {whole % 86400 // 3600:02} h")


_NO_BREAK = "\u00a0"
_NARROW_NO_BREAK = "\u202f"
_APOSTROPHE = "\u2019"


def typeset_french(text: str) -> str:
    """French as it is printed, of what a keyboard gives: the apostrophe, and spaces at which no line breaks.

    So none of them is forgotten, and none has to be seen in an editor that does not show it.
    """
    text = text.replace("'", _APOSTROPHE).replace("« ", f"«{_NO_BREAK}")
    text = re.sub(r" (?=[:%»])|(?<=[\d}]) (?=(ms|s|min|h|j)\b)", _NO_BREAK, text)
    return re.sub(r" (?=[;?!])", _NARROW_NO_BREAK, text)


@cache
def language(name: str) -> Language:
    """The language of a name: `en` or `fr`."""
    file, typeset = _LANGUAGES[name]
    found = tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    words, events, causes = (
        {key: typeset(sentence) for key, sentence in found[table].items()} for table in ("words", "events", "causes")
    )
    return Language(words, events, causes, typeset)


_LANGUAGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "en": ("english.toml", str),
    "fr": ("french.toml", typeset_french),
}
