"""Locks as bars of a time line: where each lies, where its words go, and in which row nothing covers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from migration_gate.review.rehearsal.measured import Lock, Statement
from migration_gate.review.rehearsal.svg import width_of
from migration_gate.review.rehearsal.wording import duration

# So that a lock of a millisecond within minutes can still be seen.
NARROWEST = 3.0
SPACE = 6.0


@dataclass(frozen=True)
class Bar:
    """A lock from `x` on, `width` wide; `side` is where its words stand: inside, right or left."""

    statement: Statement
    lock: Lock
    x: float
    width: float
    side: str

    @property
    def words(self) -> str:
        return f"{self.statement.number}  {self.lock.mode.label}{self._index}  {duration(self.lock.held_ms)}"

    @property
    def tip(self) -> str:
        return (
            f"statement {self.statement.number}: {self.lock.mode.label} on {self.lock.relation},"
            f" held {duration(self.lock.held_ms)}"
        )

    @property
    def colour(self) -> str:
        if self.lock.mode.blocks_reads:
            return "all"
        return "writes" if self.lock.mode.blocks_writes else "none"

    @property
    def reach(self) -> tuple[float, float]:
        """From where to where the bar and its words go."""
        beside = width_of(self.words) + 2 * SPACE
        begin = self.x - beside if self.side == "left" else self.x
        end = self.x + self.width + (beside if self.side == "right" else 0)
        return begin, end

    @property
    def _index(self) -> str:
        return f" on index {self.lock.index}" if self.lock.index else ""


def bar_of(statement: Statement, lock: Lock, place: Callable[[float], float], edge: float) -> Bar:
    """The bar of a lock. `place` gives a moment's abscissa, `edge` is where the picture's room ends."""
    x = place(lock.acquired_ms)
    width = max(NARROWEST, place(lock.released_ms) - x)
    bar = Bar(statement, lock, x, width, "inside")
    words = width_of(bar.words)
    if width > words + 2 * SPACE:
        return bar
    return Bar(statement, lock, x, width, "right" if x + width + words + 2 * SPACE <= edge else "left")


def stacked(bars: Iterable[Bar]) -> list[list[Bar]]:
    """Rows, from the top, in which no bar and no words cover another's."""
    rows: list[list[Bar]] = []
    for bar in bars:
        begin, end = bar.reach
        for row in rows:
            if all(end < other.reach[0] or begin > other.reach[1] for other in row):
                row.append(bar)
                break
        else:
            rows.append([bar])
    return rows
