"""Mutants that no data can tell from their rule, each with the reason."""

from __future__ import annotations

EQUIVALENT: dict[str, str] = {
    "Watchdog: threshold: @7 1 -> 0": "vector(0) has an element as well, and its value is told to nobody",
    "Watchdog: threshold: @7 1 -> 2": "vector(2) has an element as well, and its value is told to nobody",
    "DiskAlmostFull: comparison: @198 < -> <=": "a line through measured bytes never ends at 0 exactly",
}
