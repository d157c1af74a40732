"""Limits and the words of values: whatever a colour says is said in words as well.

A limit is drawn as a line that bears its name in the legend; a state's number is shown as the state's word. So a board
reads the same in grey, and for who does not see red and green apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, WARNING, CRITICAL, NEUTRAL, PLANNED = "green", "orange", "red", "text", "blue"
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Limit:
    """Where a value stops being normal.

    `value` is in the panel's unit; `words` are what stands in the legend or in place of a verdict, such as
    "5 %: HighErrorRate". `color` is WARNING or CRITICAL.
    """

    value: float
    words: str
    color: str = CRITICAL


@dataclass(frozen=True)
class Word:
    """What is shown in place of one value, and in which colour."""

    text: str
    color: str = NEUTRAL


def thresholds(limits: Sequence[Limit], falling: bool = False) -> dict[str, Any]:
    """Grafana's thresholds. `falling`: what lies below a limit is bad, and not what lies above it."""
    ordered = sorted(limits, key=lambda limit: limit.value)
    passed = [limit.color for limit in ordered]
    colors = ([*passed, GOOD] if falling else [GOOD, *passed]) if limits else [NEUTRAL]
    values: list[float | None] = [None, *(limit.value for limit in ordered)]
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for color, value in zip(colors, values, strict=True)],
    }


def value_words(words: Mapping[int, Word]) -> list[dict[str, Any]]:
    """Grafana's mapping of values to words; what is no number is told as such."""
    options = {
        str(value): {"text": word.text, "color": word.color, "index": index}
        for index, (value, word) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}, *not_known(len(words))]


def not_known(index: int = 0) -> list[dict[str, Any]]:
    """A mapping that tells NaN in words."""
    result = {"text": NOT_KNOWN, "color": NEUTRAL, "index": index}
    return [{"type": "special", "options": {"match": "nan", "result": result}}]


def verdict_words(limits: Sequence[Limit], falling: bool = False) -> dict[int, Word]:
    """What the number of limits that were passed means."""
    ordered = sorted(limits, key=lambda limit: limit.value, reverse=falling)
    side = "below" if falling else "above"
    words = {0: Word("normal", GOOD)}
    for passed, limit in enumerate(ordered, start=1):
        words[passed] = Word(f"{side} {limit.words}", limit.color)
    return words


def verdict_expression(expression: str, limits: Sequence[Limit], falling: bool = False) -> str:
    """PromQL: how many of the limits are passed, and NaN where the value is (a comparison with NaN would be 0)."""
    sign = "<" if falling else ">"
    passed = " + ".join(f"(({expression}) {sign} bool {limit.value:g})" for limit in limits)
    return f"{passed} + 0 * ({expression})"
