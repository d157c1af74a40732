"""What lint finds: the shape that every rule returns and every report prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """ERROR: old code breaks, or requests wait. WARNING: somebody should look at it before it is released."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Code:
    """One step of a safe rewrite: what it is, and the lines to paste into a migration file of its own."""

    title: str
    code: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a revision, or with all of them together.

    `file` is absolute, and None where no file is meant; `line` counts from 1. `message` says what is locked or broken,
    and for whom; `advice` what to do instead, in a sentence; `rewrite` the same as code in the project's own names,
    in the order in which the revisions are to be released.
    """

    rule: str
    level: Level
    message: str
    revision: str | None = None
    file: str | None = None
    line: int = 1
    statement: str = ""
    advice: str = ""
    rewrite: tuple[Code, ...] = ()
