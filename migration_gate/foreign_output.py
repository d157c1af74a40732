"""What env.py, models and migrations print: anybody's words, which must not stand in an answer for a machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def foreign_output_on_stderr() -> Iterator[None]:
    """Lead to stderr what this process, or a child of it, writes to the standard output meanwhile."""
    sys.stdout.flush()
    try:
        ours = os.dup(1)
    except OSError:  # there is none
        yield
        return
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)
