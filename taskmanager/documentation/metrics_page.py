"""Print the page of all metrics, or hold a file against it.

    python -m taskmanager.documentation.metrics_page --lang en > docs/metrics.md
    python -m taskmanager.documentation.metrics_page --lang en --check docs/metrics.md

Names, types and labels are those of a scrape, what each is for those of `metric_notes`, the alerts those whose rules
read the metric.
"""

# ruff: noqa: RUF001  French is set with its own spaces and apostrophe

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from taskmanager.app import create_app
from taskmanager.documentation.metric_notes import METRIC_NOTES, UNITS_IN_FRENCH
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.settings import Settings

RULES = PROJECT_FOLDER / "ops" / "prometheus" / "rules"

_SUFFIXES = {"counter": "_total", "info": "_info"}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

# Groups of the table: a prefix of the names, and the heading above them.
_GROUPS = {
    "http_": {"en": "Requests", "fr": "Requêtes"},
    "taskmanager_db_": {"en": "What is asked of the database", "fr": "Ce qui est demandé à la base"},
    "taskmanager_postgres_": {"en": "The database server", "fr": "Le serveur de base de données"},
    "migration_gate_": {"en": "The schema and its migrations", "fr": "Le schéma et ses migrations"},
    "taskmanager_": {"en": "The process", "fr": "Le processus"},
    "": {"en": "The interpreter", "fr": "L’interpréteur"},
}

_TEXTS = {
    "en": (
        "# Metrics\n\n[En français](fr/metrics.md)",
        (
            "All that `/metrics` tells, generated from the code by `python -m taskmanager.documentation.metrics_page`; "
            "`make check` holds this page against it. Every series is there from the first scrape, but those by route. "
            "What cannot be known now is `NaN`. Thresholds stand with the [alerts](alerts.md)."
        ),
        ("metric", "type", "labels", "unit", "what for", "alerts"),
    ),
    "fr": (
        "# Métriques\n\n[In English](../metrics.md)",
        (
            "Tout ce que dit `/metrics`, produit depuis le code par `python -m taskmanager.documentation.metrics_page "
            "--lang fr` ; `make check` confronte cette page au code. Chaque série est là dès le premier relevé, hormis "
            "celles par route. Ce qui ne peut être connu vaut `NaN`. Les seuils figurent avec les [alertes](alerts.md)."
        ),
        ("métrique", "type", "étiquettes", "unité", "à quoi elle sert", "alertes"),
    ),
}


@dataclass(frozen=True)
class Family:
    """A metric as a scrape tells it; `name` with the suffix by which it is asked for."""

    name: str
    type: str
    labels: tuple[str, ...]


def families() -> list[Family]:
    """Every metric of the service, in the order of a scrape."""
    # Nothing connects before the application's lifespan begins.
    app = create_app(Settings(database_url="postgresql://nobody@localhost/nothing", log_level="error"))
    app.state.front_door.records.metrics.count("GET", 200, "/tasks", 0.0, 0, 0)
    return list(_families(app.state.registry))


def _families(registry: CollectorRegistry) -> Iterator[Family]:
    for family in registry.collect():
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        yield Family(family.name + _SUFFIXES.get(family.type, ""), family.type, tuple(labels))


def alerts_by_metric(folder: Path = RULES) -> Mapping[str, list[str]]:
    """Metric to the alerts whose rules read it, directly or through a recording rule."""
    rules = [rule for file in sorted(folder.glob("*.yml")) for rule in _rules(file)]
    recorded = {rule["record"]: set(_NAME.findall(rule["expr"])) for rule in rules if "record" in rule}
    found: dict[str, list[str]] = {}
    for rule in rules:
        if "alert" in rule:
            for name in sorted(_read(rule["expr"], recorded)):
                found.setdefault(name, []).append(rule["alert"])
    return found


def _rules(file: Path) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def _read(expression: str, recorded: Mapping[str, set[str]]) -> set[str]:
    names = set(_NAME.findall(expression))
    while more := {inner for name in names for inner in recorded.get(name, ())} - names:
        names |= more
    return names


def page(language: str) -> str:
    """The whole page, `en` or `fr`."""
    title, opening, columns = _TEXTS[language]
    lines = [title, "", textwrap.fill(opening, 118, break_long_words=False, break_on_hyphens=False)]
    alerts = alerts_by_metric()
    left = families()
    for prefix, headings in _GROUPS.items():
        members = [family for family in left if family.name.startswith(prefix)]
        left = [family for family in left if family not in members]
        lines += ["", f"## {headings[language]}", "", _row(columns), _row(["---"] * len(columns))]
        lines += [_row(_cells(family, language, alerts)) for family in members]
    return "\n".join(lines) + "\n"


def _cells(family: Family, language: str, alerts: Mapping[str, list[str]]) -> list[str]:
    note = METRIC_NOTES[family.name]
    readers = [alert for name in _series_of(family) for alert in alerts.get(name, ())]
    return [
        f"`{family.name}`",
        family.type,
        " ".join(f"`{label}`" for label in family.labels),
        UNITS_IN_FRENCH[note.unit] if language == "fr" else note.unit,
        note.why_in_french if language == "fr" else note.why,
        " ".join(dict.fromkeys(readers)),
    ]


def _series_of(family: Family) -> list[str]:
    return [family.name, *(family.name + suffix for suffix in ("_bucket", "_count", "_sum"))]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m taskmanager.documentation.metrics_page", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--lang", choices=_TEXTS, default="en", help="language (default: %(default)s)")
    parser.add_argument("--check", metavar="FILE", type=Path, help="compare with this file instead of printing")
    options = parser.parse_args(arguments)
    made = page(options.lang)
    if options.check is None:
        sys.stdout.write(made)
        return 0
    if options.check.is_file() and options.check.read_text(encoding="utf-8") == made:
        return 0
    command = f"python -m taskmanager.documentation.metrics_page --lang {options.lang} > {options.check}"
    sys.stderr.write(f"{options.check}: is not what the code says any more. Then: {command}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
