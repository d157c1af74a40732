"""Tables: rows of labels and values as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ops.grafana.boards.limits import NEUTRAL, Word, value_words
from ops.grafana.boards.panels import About, Json, Panel, Query, now, override


@dataclass(frozen=True)
class Column:
    """A column of a table: a label of the series, or the value of the query whose letter is `source`."""

    source: str
    heading: str
    unit: str = "none"
    words: Mapping[int, Word] = field(default_factory=dict)
    link: tuple[str, str] = ("", "")

    def as_override(self) -> Json:
        properties: Json = {"unit": self.unit}
        if self.words:
            properties |= {"mappings": value_words(self.words), "custom.cellOptions": {"type": "color-text"}}
        if self.link[1]:
            properties["links"] = [{"title": self.link[0], "url": self.link[1], "targetBlank": True}]
        return override("byName", self.heading, properties)


def table(
    title: str,
    about: About,
    columns: Sequence[Column],
    *expressions: str,
    width: int = 12,
    empty_unless: str = "",
    no_value: str = "No data: the service is not scraped",
) -> Panel:
    """Rows of labels and values as they are now; what is no column of ours is left out."""
    single = len(expressions) == 1
    sources = [
        f"Value{'' if single else f' #{column.source}'}" if len(column.source) == 1 else column.source
        for column in columns
    ]
    return Panel(
        title,
        "table",
        about,
        width,
        targets=tuple({**now(Query(expression, "")), "format": "table"} for expression in expressions),
        defaults={
            "unit": "none",
            "noValue": no_value,
            "color": {"mode": "thresholds"},
            "mappings": [],
            "thresholds": {"mode": "absolute", "steps": [{"color": NEUTRAL, "value": None}]},
        },
        overrides=tuple(column.as_override() for column in columns),
        options={"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
        transformations=(
            *(() if single else ({"id": "merge", "options": {}},)),
            {"id": "filterFieldsByName", "options": {"include": {"names": sources}}},
            {
                "id": "organize",
                "options": {
                    "indexByName": {source: place for place, source in enumerate(sources)},
                    "renameByName": {source: column.heading for source, column in zip(sources, columns, strict=True)},
                },
            },
        ),
        empty_unless=empty_unless,
    )
