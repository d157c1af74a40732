"""Signals that end a rehearsal in order: what it made is removed before the process goes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked the process to end. `exit_status` is what shells report for it: 128 and its number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at the first such signal, and be deaf to those that follow it."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # Who presses Ctrl-C twice would otherwise leave the temporary database behind.
        for ending in _ENDING:
            signal.signal(ending, signal.SIG_IGN)
        raise Interrupted(number)

    before = {ending: signal.signal(ending, interrupt) for ending in _ENDING}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
