"""One value, or one state, in words: now, or over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ops.grafana.boards.limits import (
    Limit,
    Word,
    not_known,
    thresholds,
    value_words,
    verdict_expression,
    verdict_words,
)
from ops.grafana.boards.panels import About, Json, Panel, Query, now, over_time, override


def number(
    title: str,
    about: About,
    unit: str,
    query: Query,
    *,
    limits: Sequence[Limit] = (),
    falling: bool = False,
    decimals: int | None = None,
    width: int = 4,
    empty_unless: str = "",
    no_value: str = "no data",
) -> Panel:
    """One value now; with limits, the verdict beside it, in words."""
    targets = [now(query)]
    overrides = []
    if limits:
        targets.append(now(Query(verdict_expression(query.expression, limits, falling), "verdict")))
        properties = {
            "mappings": value_words(verdict_words(limits, falling)),
            "unit": "none",
            "thresholds": thresholds(()),
        }
        overrides.append(override("byName", "verdict", properties))
    defaults = {
        "unit": unit,
        "noValue": no_value,
        "color": {"mode": "thresholds"},
        "mappings": not_known(),
        "thresholds": thresholds(limits, falling),
    }
    return Panel(
        title,
        "stat",
        about,
        width,
        targets=tuple(targets),
        defaults=defaults if decimals is None else defaults | {"decimals": decimals},
        overrides=tuple(overrides),
        options=_STAT,
        empty_unless=empty_unless,
    )


_STAT: Json = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "textMode": "value_and_name",
    "colorMode": "value",
    "graphMode": "none",
    "justifyMode": "auto",
    "orientation": "auto",
}


def state(
    title: str, about: About, words: Mapping[int, Word], *queries: Query, width: int = 4, no_value: str = "no data"
) -> Panel:
    """What something is now, in a word a series."""
    return Panel(
        title,
        "stat",
        about,
        width,
        targets=tuple(now(query) for query in queries),
        defaults=_worded(words, no_value),
        options=_STAT,
    )


def timeline(
    title: str,
    about: About,
    words: Mapping[int, Word],
    *queries: Query,
    width: int = 24,
    empty_unless: str = "",
    no_value: str = "No data: the service is not scraped",
) -> Panel:
    """What something was over time, in words that stand in the bars."""
    return Panel(
        title,
        "state-timeline",
        about,
        width,
        targets=tuple(over_time(query) for query in queries),
        defaults=_worded(words, no_value) | {"custom": {"fillOpacity": 70, "lineWidth": 1, "spanNulls": False}},
        options={
            "showValue": "always",
            "mergeValues": True,
            "rowHeight": 0.8,
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        empty_unless=empty_unless,
    )


def _worded(words: Mapping[int, Word], no_value: str) -> Json:
    return {
        "unit": "none",
        "noValue": no_value,
        "color": {"mode": "thresholds"},
        "mappings": value_words(words),
        "thresholds": thresholds(()),
    }
