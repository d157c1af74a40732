"""A panel of a board before it has a place, and what people read of it.

Each says what it shows, what is normal and which alerts stand on it; that becomes the description, and the alerts
become links to their runbooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.grafana.boards.alerts import ALERTS, RUNBOOKS

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}

Kind = Literal["timeseries", "stat", "state-timeline", "table", "text"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """PromQL, and what its series are called: `{{label}}` stands for the label's value."""

    expression: str
    legend: str


@dataclass(frozen=True)
class About:
    """What people read of a panel.

    `shows`, `normal`: a sentence each. `alerts`: the names of those that stand on it. `boards`: the uid and title of
    the boards where one looks next.
    """

    shows: str
    normal: str
    alerts: tuple[str, ...] = ()
    boards: tuple[tuple[str, str], ...] = ()

    def description(self) -> str:
        """Three paragraphs of Markdown: what it shows, what is normal, which alert."""
        named = ", ".join(f"{name} ({ALERTS[name].severity})" for name in self.alerts)
        return f"{self.shows}\n\nNormal: {self.normal}\n\n" + (
            f"Alert: {named}." if named else "No alert stands on it."
        )

    def links(self) -> list[Json]:
        """To each alert's runbook, then to the boards."""
        runbooks = dict.fromkeys(code for name in self.alerts for code in ALERTS[name].codes)
        return [
            *({"title": f"Runbook: {code}", "url": f"{RUNBOOKS}/{code}.md", "targetBlank": True} for code in runbooks),
            *(
                {"title": f"Board: {title}", "url": f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}"}
                for uid, title in self.boards
            ),
        ]


@dataclass(frozen=True)
class Panel:
    """One panel. `empty_unless` says when it has something to show, where a healthy service gives it nothing."""

    title: str
    kind: Kind
    about: About
    width: int
    targets: tuple[Json, ...] = ()
    defaults: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    options: Json = field(default_factory=dict)
    transformations: tuple[Json, ...] = ()
    empty_unless: str = ""

    def as_json(self, number: int, place: Json) -> Json:
        """As Grafana wants it; `place` is its gridPos."""
        document: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about.description(),
            "gridPos": place,
            "links": self.about.links(),
            "options": self.options,
        }
        if self.kind == "text":
            return document
        return document | {
            "datasource": DATASOURCE,
            "targets": [
                {"datasource": DATASOURCE, "refId": chr(ord("A") + index), "editorMode": "code", **target}
                for index, target in enumerate(self.targets)
            ],
            "fieldConfig": {"defaults": self.defaults, "overrides": list(self.overrides)},
            "transformations": list(self.transformations),
        }


def over_time(query: Query) -> Json:
    """A target that is asked for every point of the chosen time."""
    return {"expr": query.expression, "legendFormat": query.legend, "range": True, "instant": False}


def now(query: Query) -> Json:
    """A target that is asked once, for the present."""
    return {"expr": query.expression, "legendFormat": query.legend, "range": False, "instant": True}


def override(matcher: str, name: str, properties: Mapping[str, Any]) -> Json:
    """What is different for the fields that a matcher of Grafana's finds."""
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def text(title: str, about: About, markdown: str, width: int = 24) -> Panel:
    """Words for people."""
    return Panel(title, "text", about, width, options={"mode": "markdown", "content": markdown})
