"""Histograms in plain numbers, made metrics when somebody scrapes: observing must cost next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate


class Histogram:
    """Counts by upper bound, in seconds, and their sum. Not safe across threads: it belongs to the event loop."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As prometheus_client takes them: `le` and how many were at most that long."""
        bounds: Iterable[str] = (*map(str, self.bounds_s), "+Inf")
        return list(zip(bounds, accumulate(self.counts), strict=True))
