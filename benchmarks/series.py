"""Figures of several rounds: the middle one, and how far apart they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """Repeated figures of one kind, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        return min(self.values)

    @property
    def highest(self) -> float:
        return max(self.values)

    @property
    def spread(self) -> float:
        """From the lowest to the highest, as a share of the median: 0.1 is ten per cent."""
        return (self.highest - self.lowest) / self.median if self.median else 0.0

    def as_dict(self) -> dict[str, object]:
        """For the result file, rounded to what can be meant."""
        return {
            "median": _rounded(self.median),
            "lowest": _rounded(self.lowest),
            "highest": _rounded(self.highest),
            "spread": round(self.spread, 3),
            "rounds": [_rounded(value) for value in self.values],
        }


def series(values: Sequence[float]) -> Series | None:
    """None where nothing was measured."""
    return Series(tuple(values)) if values else None


def ratio(of: Series | None, to: Series | None) -> float | None:
    """How many times `to` the median of `of` is; None where either is not there."""
    if of is None or to is None or not to.median:
        return None
    return of.median / to.median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def _rounded(value: float) -> float:
    return round(value, 4 if abs(value) < 10 else 1)
