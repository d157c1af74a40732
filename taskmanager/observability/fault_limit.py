"""How often a fault is reported: a fault that every request meets must cost the service no more than one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

# At once, of one fault; then one more each minute. Of all faults together: so many at once, then one a second.
AT_ONCE, EVERY_S = 3, 60.0
ALL_AT_ONCE, ALL_EVERY_S = 30, 1.0

# Faults are as many as there are places in the code; this is a bound for what nobody foresaw.
MOST_KNOWN = 500


class FaultLimit:
    """A bucket of tokens a fault, and one for all of them. A fault that is held back costs a lookup.

    Parameters
    ----------
    clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = _Bucket(ALL_AT_ONCE, ALL_EVERY_S, clock())
        self._by_fault: dict[Hashable, _Bucket] = {}

    def admit(self, fault: Hashable) -> int | None:
        """How many of this fault were held back since the last one that was reported; None where this one is held
        back too."""
        now = self._clock()
        bucket = self._by_fault.get(fault)
        if bucket is None:
            if len(self._by_fault) >= MOST_KNOWN:
                del self._by_fault[next(iter(self._by_fault))]
            bucket = self._by_fault[fault] = _Bucket(AT_ONCE, EVERY_S, now)
        if not (bucket.has_one(now) and self._all.has_one(now)):
            bucket.held_back += 1
            return None
        bucket.tokens -= 1
        self._all.tokens -= 1
        held_back, bucket.held_back = bucket.held_back, 0
        return held_back


class _Bucket:
    __slots__ = ("_every_s", "_filled_at", "_size", "held_back", "tokens")

    def __init__(self, size: int, every_s: float, now: float) -> None:
        self._size = size
        self._every_s = every_s
        self._filled_at = now
        self.tokens = float(size)
        self.held_back = 0

    def has_one(self, now: float) -> bool:
        self.tokens = min(self._size, self.tokens + (now - self._filled_at) / self._every_s)
        self._filled_at = now
        return self.tokens >= 1
