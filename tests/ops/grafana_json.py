"""What a dashboard's JSON holds: its panels, its queries, and those queries as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import ROOT

FOLDER = ROOT / "ops" / "grafana" / "dashboards"
NAMES = ("incident", "api", "database", "slo", "meta")

# What Grafana puts in place of its own variables; the interval is four of the longest scrape interval.
_GRAFANA = {"__rate_interval": "20s", "__interval": "5s", "__range": "3600s"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    panel: str
    letter: str
    expression: str
    legend: str
    instant: bool


def read(name: str, folder: Path = FOLDER) -> Json:
    document: Json = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return document


def panels(board: Json) -> Iterator[Json]:
    """All but the headings of rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def targets(board: Json) -> Iterator[Target]:
    for panel in panels(board):
        for target in panel.get("targets", ()):
            yield Target(panel["title"], target["refId"], target["expr"], target["legendFormat"], target["instant"])


def annotations(board: Json) -> dict[str, str]:
    """What is marked on the graphs: each expression by its name."""
    return {each["name"]: each["expr"] for each in board["annotations"]["list"] if "expr" in each}


def variables(expression: str) -> set[str]:
    return {one or other for one, other in re.findall(r"\$(?:\{(\w+)[^}]*\}|(\w+))", expression)}


def filled_in(expression: str, service: str = "taskmanager", env: str = "development", instance: str = ".*") -> str:
    """The expression with each variable's value in its place; a variable that nobody defines raises KeyError."""
    values = _GRAFANA | {"service": service, "env": env, "instance": instance}
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)
