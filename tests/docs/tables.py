"""The tables of a Markdown document."""

from __future__ import annotations

import re
from collections.abc import Iterator

Table = list[list[str]]


def tables(document: str) -> Iterator[Table]:
    """Every table as rows of cells, its header first, without the line below that."""
    for text in re.findall(r"(?:^\|.*\|\n)+", document, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
        yield [rows[0], *rows[2:]]


def names_in(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def numbers_in(cell: str) -> list[float]:
    """The numbers, written as English or as French writes them: `10,000`, `10 000`, `1.4`, `1,4`."""
    plain = re.sub(r"(?<=\d)[,\s](?=\d{3}\b)", "", cell)
    return [float(number.replace(",", ".")) for number in re.findall(r"\d+(?:[.,]\d+)?", plain)]
