"""Ctrl-C, SIGTERM and SIGHUP: the first ends the run in order, a further Ctrl-C hastens it."""

import math
import signal
import time
from collections.abc import Callable
from types import FrameType

# `timeout` and some shells deliver one Ctrl-C twice.
REPEAT_AFTER_SECONDS = 0.5


class StopSignals:
    """Raises KeyboardInterrupt until stopping has begun: what stops the parts is not interrupted itself."""

    def __init__(self, hasten: Callable[[], None]) -> None:
        """`hasten` is called, in the signal handler, at each SIGINT once stopping has begun."""
        self._hasten = hasten
        self._stopping = False
        self._last = -math.inf

    def install(self) -> None:
        """Takes the signals over for the rest of the process's life."""
        signal.signal(signal.SIGINT, self._receive)
        signal.signal(signal.SIGTERM, self._receive)
        # nohup ignores it on purpose.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)

    def begin_stopping(self) -> None:
        self._stopping = True

    def end(self) -> None:
        """Everything is stopped: a late Ctrl-C would end the interpreter as it shuts down, with a status of its own."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last < REPEAT_AFTER_SECONDS:
            return
        self._last = now
        if not self._stopping:
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self._hasten()
