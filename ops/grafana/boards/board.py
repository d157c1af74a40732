"""A board: its variables, what is marked on every graph, its links, and where the panels stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ops.grafana.boards.panels import DATASOURCE, Json, Panel
from ops.grafana.boards.promql import MONITORING

GRID_WIDTH = 24
TAG = "taskmanager"
# The schema of Grafana 11.0; later ones read it and raise it by themselves.
SCHEMA_VERSION = 39
RECEIVER = "http://localhost:9095"


@dataclass(frozen=True)
class Row:
    """Panels beside each other, under a heading of their own where `title` is not empty; `height` in grid units."""

    title: str
    height: int
    panels: tuple[Panel, ...]


def row(title: str, height: int, *panels: Panel) -> Row:
    return Row(title, height, panels)


@dataclass(frozen=True)
class Board:
    """One dashboard. `by_instance`: whether one replica can be chosen; `receiver`: whether the address of the incident
    receiver, as the reader's browser reaches it, can be told."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    by_instance: bool = True
    receiver: bool = False
    time_from: str = "now-1h"

    def panels(self) -> Iterator[Panel]:
        for each in self.rows:
            yield from each.panels

    def as_json(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "10s",
            "timezone": "browser",
            "time": {"from": self.time_from, "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
            "templating": {"list": [*_variables(self.by_instance), *([_RECEIVER] if self.receiver else [])]},
            "annotations": {"list": _annotations()},
            "links": _links(),
            "panels": list(_placed(self.rows)),
        }


def _placed(rows: Sequence[Row]) -> Iterator[Json]:
    number, y = 1, 0
    for each in rows:
        if each.title:
            heading = {"h": 1, "w": GRID_WIDTH, "x": 0, "y": y}
            yield {
                "id": number,
                "type": "row",
                "title": each.title,
                "collapsed": False,
                "panels": [],
                "gridPos": heading,
            }
            number, y = number + 1, y + 1
        x = 0
        for panel in each.panels:
            if x + panel.width > GRID_WIDTH:
                raise ValueError(f"the row of {panel.title!r} is wider than {GRID_WIDTH} units; begin another row")
            yield panel.as_json(number, {"h": each.height, "w": panel.width, "x": x, "y": y})
            number, x = number + 1, x + panel.width
        y += each.height


def _variables(by_instance: bool) -> Iterator[Json]:
    yield _variable("service", "Service", 'label_values(up{job="taskmanager"}, service)')
    yield _variable("env", "Environment", 'label_values(up{job="taskmanager",service="$service"}, env)')
    if by_instance:
        query = 'label_values(up{job="taskmanager",service="$service",env="$env"}, instance)'
        everything = {"includeAll": True, "multi": True, "allValue": ".*"}
        chosen = {"current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
        yield _variable("instance", "Replica", query) | everything | chosen


# What a person may type: the receiver's port is not always the same.
_RECEIVER: Json = {
    "name": "receiver",
    "label": "Incident receiver",
    "type": "textbox",
    "query": RECEIVER,
    "current": {"selected": True, "text": RECEIVER, "value": RECEIVER},
    "options": [{"selected": True, "text": RECEIVER, "value": RECEIVER}],
    "hide": 0,
}


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        # 2: asked anew when the time range changes, so that a replica which has gone can still be chosen.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
    }


def _annotations() -> list[Json]:
    firing = 'ALERTS{{alertstate="firing",severity="{}",service=~"$service|monitoring",env="$env"}}'
    ours = 'service="$service",env="$env"'
    began = (
        f"(taskmanager_build_info{{{ours}}} unless taskmanager_build_info{{{ours}}} offset 2m)"
        f" and on (instance) (time() - process_start_time_seconds{{{ours}}} < 300)"
    )
    return [
        {
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "hide": True,
            "iconColor": "blue",
            "name": "Notes made in Grafana",
            "type": "dashboard",
        },
        _annotation("Critical alerts", "red", firing.format("critical"), "critical: {{alertname}}", "{{code}}"),
        _annotation("Warnings", "orange", firing.format("warning"), "warning: {{alertname}}", "{{code}}"),
        _annotation(
            "Deployments that did not succeed",
            "purple",
            f'time() - taskmanager_deployment_last_timestamp_seconds{{{MONITORING},result!="succeeded"}} < 20',
            "deployment: {{result}}",
            "A deployment ended: {{result}}; `stack deployments` tells why",
        ),
        _annotation(
            "Deployments",
            "blue",
            f"count by (version, commit) ({began})",
            "deployed: {{version}}",
            "Version {{version}}, commit {{commit}} began to answer",
        ),
    ]


def _annotation(name: str, color: str, expression: str, title: str, words: str) -> Json:
    """Grafana before 12 reads the expression beside the name, later ones read it in `target`."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expression,
        "step": "10s",
        "titleFormat": title,
        "textFormat": words,
        "tagKeys": "alertname,severity,version",
        "target": {"expr": expression, "interval": "10s", "refId": "Anno"},
    }


def _links() -> list[Json]:
    """From every board to every other, with the chosen service and time."""
    return [
        {
            "title": "Boards",
            "type": "dashboards",
            "tags": [TAG],
            "asDropdown": False,
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
            "icon": "external link",
            "tooltip": "",
            "url": "",
        }
    ]
