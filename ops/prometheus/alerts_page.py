"""Print the page of all alerts, or hold a file against it.

    python -m ops.prometheus.alerts_page --lang en > docs/alerts.md
    python -m ops.prometheus.alerts_page --lang en --check docs/alerts.md

Severity, delay, code and runbook are the rules' own; when an alert fires, in words, stands in `alert_notes`.
"""

# ruff: noqa: RUF001  French is set with its own spaces and apostrophe

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.prometheus.alert_notes import ALERT_NOTES

RULES = Path(__file__).parent / "rules"

# The group whose alerts are routed without any delay.
IMMEDIATE = "immediate"

# A code that is a label of its own: the state that the schema is in.
BY_STATE = "{{ $labels.state }}"


@dataclass(frozen=True)
class Texts:
    """What the page says in one language."""

    title: str
    opening: str
    immediate: str
    others: str
    columns: Sequence[str]
    at_once: str
    by_state: str


_TEXTS = {
    "en": Texts(
        title="# Alerts\n\n[En français](fr/alerts.md)",
        opening=(
            "Every alert, made from the rules in [`ops/prometheus/rules/`](../ops/prometheus/rules/) by"
            " `python -m ops.prometheus.alerts_page`; `make check` holds this page against them. How long each took to"
            " reach somebody, after a real fault, stands in [alerts-proof.md](alerts-proof.md)."
        ),
        immediate="## Immediate: told within seconds, to everybody who is to know",
        others="## The others",
        columns=("alert", "fires when", "for", "severity", "runbook", "a fault that proves it"),
        at_once="at once",
        by_state="by the [state](gate/how-it-works.md#the-states)",
    ),
    "fr": Texts(
        title="# Alertes\n\n[In English](../alerts.md)",
        opening=(
            "Chaque alerte, produite à partir des règles de [`ops/prometheus/rules/`](../../ops/prometheus/rules/) par"
            " `python -m ops.prometheus.alerts_page --lang fr`\u202f; `make check` confronte cette page aux règles. Le"
            " temps que chacune a mis à prévenir quelqu’un, après une vraie panne, figure dans"
            " [alerts-proof.md](../alerts-proof.md) (en anglais)."
        ),
        immediate="## Immédiates\u00a0: annoncées en quelques secondes à tous ceux qui doivent savoir",
        others="## Les autres",
        columns=("alerte", "se déclenche quand", "pendant", "gravité", "fiche", "une panne qui le prouve"),
        at_once="aussitôt",
        by_state="selon l’[état](gate/how-it-works.md#les-états)",
    ),
}


@dataclass(frozen=True)
class Alert:
    """An alert as its rules have it. Of several rules of one name, `waits` has the `for` of each."""

    name: str
    group: str
    severity: str
    code: str
    waits: tuple[str, ...]


def alerts(folder: Path = RULES) -> list[Alert]:
    """Every alert, in the order of the files, one of each name."""
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for group, rule in _alerting_rules(folder):
        found.setdefault(rule["alert"], []).append((group, rule))
    return [
        Alert(
            name,
            rules[0][0],
            rules[0][1]["labels"]["severity"],
            rules[0][1]["labels"]["code"],
            tuple(dict.fromkeys(rule.get("for", "") for _, rule in rules)),
        )
        for name, rules in found.items()
    ]


def _alerting_rules(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield group["name"], rule


def page(language: str) -> str:
    """The whole page, `en` or `fr`."""
    texts = _TEXTS[language]
    lines = [texts.title, "", textwrap.fill(texts.opening, 118, break_long_words=False, break_on_hyphens=False)]
    every = alerts()
    for heading, members in (
        (texts.immediate, [alert for alert in every if alert.group == IMMEDIATE]),
        (texts.others, [alert for alert in every if alert.group != IMMEDIATE]),
    ):
        lines += ["", heading, "", _row(texts.columns), _row(["---"] * len(texts.columns))]
        lines += [_row(_cells(alert, language, texts)) for alert in members]
    return "\n".join(lines) + "\n"


def _cells(alert: Alert, language: str, texts: Texts) -> list[str]:
    note = ALERT_NOTES[alert.name]
    french = language == "fr"
    runbook = texts.by_state if alert.code == BY_STATE else f"[`{alert.code}`](runbooks/{alert.code}.md)"
    return [
        f"`{alert.name}`",
        note.fires_in_french if french else note.fires,
        ", ".join(wait or texts.at_once for wait in alert.waits),
        alert.severity,
        runbook,
        note.proof_in_french if french else note.proof,
    ]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.prometheus.alerts_page", description=(__doc__ or "").split("\n")[0]
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
    command = f"python -m ops.prometheus.alerts_page --lang {options.lang} > {options.check}"
    sys.stderr.write(f"{options.check}: is not what the rules say any more. Then: {command}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
