"""Which line of a migration file a statement comes from, where the line that runs is not the one that was written.

Batch operations are queued and all run where their block ends; a text of several statements runs at its call.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from alembic.operations.batch import BatchOperationsImpl

from migration_gate.sql_text import blank


def calls_within(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and all that called it, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def line_in(file: str, frame: FrameType) -> int | None:
    """The line of a file that is being run, seen from a frame that it called."""
    return next((each.f_lineno for each in calls_within(frame) if each.f_code.co_filename == file), None)


@contextmanager
def batches_queued(file: Callable[[], str], runs: Callable[[int | None], None]) -> Iterator[None]:
    """Let each queued operation remember its line in `file()`, and tell `runs` of it when its turn has come."""

    class Queue(list[Any]):
        def append(self, operation: Any) -> None:
            super().append((line_in(file(), sys._getframe(1)), operation))

        def __iter__(self) -> Iterator[Any]:
            for line, operation in super().__iter__():
                runs(line)
                yield operation
            runs(None)

    begin = BatchOperationsImpl.__init__

    @functools.wraps(begin)
    def begin_queued(batch: BatchOperationsImpl, *arguments: Any, **options: Any) -> None:
        begin(batch, *arguments, **options)  # type: ignore[no-untyped-call]
        batch.batch = Queue()

    BatchOperationsImpl.__init__ = begin_queued  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        BatchOperationsImpl.__init__ = begin  # type: ignore[method-assign]


def lines_of(statements: Sequence[str], call: int, source: str) -> list[int]:
    """The line at which each of a text's statements begins, where the text stands in the call itself."""
    lines = source.splitlines()
    position, end = call, max((last for first, last in _spans(source) if first <= call <= last), default=call)
    found = []
    if len(statements) == 1:
        return [call]
    for statement in statements:
        begins = _first_line(statement)
        position = next((n for n in range(position, end + 1) if begins in lines[n - 1]), position)
        found.append(position)
    return found


def _first_line(statement: str) -> str:
    """The first line of a statement that is no comment."""
    code = zip(blank(statement).splitlines(), statement.splitlines(), strict=False)
    return next((text.strip() for blanked, text in code if blanked.strip()), "")


@functools.lru_cache(maxsize=8)
def _spans(source: str) -> tuple[tuple[int, int], ...]:
    """First and last line of each statement that holds no other."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt) and not hasattr(node, "body")]
    return tuple((node.lineno, node.end_lineno or node.lineno) for node in nodes)
