"""Text that people wrote, and tables, as Markdown takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def plain(text: str) -> str:
    """Text that means nothing but itself, in one line: neither a link, nor an image, nor a cell's end."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split(" ")).replace("\n", " ").replace("\t", " "))


def code(text: str) -> str:
    """Text between backticks, where nothing can be escaped."""
    return text.replace("`", "'").replace("|", "/").replace("\n", " ")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join((*lines, *(f"| {' | '.join(row)} |" for row in rows)))
