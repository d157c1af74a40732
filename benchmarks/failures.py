"""What keeps a figure from being had, each told apart from the others in every report.

BenchmarkError
├── Missing        something is not installed here: no figure
└── WrongAnswer    a contestant did not do the work: its figures are void
"""

from __future__ import annotations

import subprocess

import psutil
import psycopg

from stack.errors import StackError


class BenchmarkError(Exception):
    """The run cannot go on; the message says why."""


class Missing(BenchmarkError):
    """Something that a contestant or a section needs is not on this machine.

    Parameters
    ----------
    what: its name.
    how_to_get_it: a command, or a sentence.
    """

    def __init__(self, what: str, how_to_get_it: str) -> None:
        super().__init__(f"{what} is missing: {how_to_get_it}")


class WrongAnswer(BenchmarkError):
    """A contestant answered what the contract does not allow, or lost a request."""


# What a server that ends, hangs or breaks off in the middle of a measurement shows itself as.
FAILURES = (BenchmarkError, StackError, OSError, psutil.Error, psycopg.Error, subprocess.SubprocessError)
