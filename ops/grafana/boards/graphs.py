"""Graphs: values over time, with their limits as lines that have a name."""

from __future__ import annotations

from collections.abc import Sequence

from ops.grafana.boards.limits import Limit, not_known, thresholds
from ops.grafana.boards.panels import About, Json, Panel, Query, over_time, override

# Lines of one graph differ in their strokes too, as far as people tell strokes apart.
_STROKES: tuple[Json, ...] = ({"fill": "solid"}, {"fill": "dash", "dash": [12, 6]}, {"fill": "dot", "dash": [0, 8]})
_LIMIT_STROKE: Json = {"fill": "dash", "dash": [4, 8]}


def graph(
    title: str,
    about: About,
    unit: str,
    *queries: Query,
    limits: Sequence[Limit] = (),
    falling: bool = False,
    stacked: bool = False,
    width: int = 12,
    empty_unless: str = "",
    no_value: str = "No data: the service is not scraped",
) -> Panel:
    """Lines over time. Each limit is a line of its own, whose legend says what it means."""
    lines = [_strokes(query.legend, _STROKES[index % len(_STROKES)]) for index, query in enumerate(queries)]
    return Panel(
        title,
        "timeseries",
        about,
        width,
        targets=(
            *(over_time(query) for query in queries),
            *(over_time(Query(f"vector({limit.value:g})", f"limit {limit.words}")) for limit in limits),
        ),
        defaults={
            "unit": unit,
            "min": 0,
            "noValue": no_value,
            "color": {"mode": "palette-classic"},
            "mappings": not_known(),
            "thresholds": thresholds(limits, falling),
            "custom": {
                "drawStyle": "line",
                "lineWidth": 2,
                "fillOpacity": 30 if stacked else 8,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "area" if limits else "off"},
            },
        },
        overrides=(*(line for line in lines if not stacked), *(_limit_line(limit) for limit in limits)),
        options={
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        empty_unless=empty_unless,
    )


def _strokes(legend: str, stroke: Json) -> Json:
    """An override for the series of one query, which are found by the fixed part of their name."""
    pattern = "/^" + "".join(".*" if part.startswith("{{") else part for part in _parts(legend)) + "$/"
    return override("byRegexp", pattern, {"custom.lineStyle": stroke})


def _parts(legend: str) -> list[str]:
    parts, rest = [], legend
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        label, _, rest = rest.partition("}}")
        parts += [_escaped(before), f"{{{{{label}}}}}"]
    return [*parts, _escaped(rest)]


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\^$.|?*+()[]{}/" else letter for letter in text)


def _limit_line(limit: Limit) -> Json:
    properties = {
        "color": {"mode": "fixed", "fixedColor": limit.color},
        "custom.lineStyle": _LIMIT_STROKE,
        "custom.lineWidth": 1,
        "custom.fillOpacity": 0,
        "custom.stacking": {"mode": "none", "group": "limits"},
    }
    return override("byName", f"limit {limit.words}", properties)
