"""What a proof was made from: where one of these has changed, the proof is no longer of what is here.

A digest is of what is meant and not of how it is written: a comment changes nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.alerts import shortened
from tests.alerts.rig.rig import RULES
from tests.processes import ROOT

# What the rules read is made here. A test compares the list with the modules that make metrics.
MEASURING = (
    "migration_gate/metrics.py",
    "migration_gate/watch.py",
    "taskmanager/database_errors.py",
    "taskmanager/incidents/metrics.py",
    "taskmanager/incidents/watchdog.py",
    "taskmanager/observability/database_metrics.py",
    "taskmanager/observability/event_loop.py",
    "taskmanager/observability/histograms.py",
    "taskmanager/observability/metrics.py",
    "taskmanager/observability/postgres_activity.py",
    "taskmanager/observability/process_metrics.py",
    "taskmanager/observability/request_metrics.py",
    "taskmanager/observability/service_state.py",
)
# What only some alerts read, or none, is made here: of the proofs of the others it is no part.
MEASURING_FOR: Mapping[str, tuple[str, ...]] = {
    "taskmanager/backup/metrics.py": ("BackupTooOld",),
    "taskmanager/incidents/deployment_metrics.py": (),
}
PROMETHEUS, ALERTMANAGER = "prometheus.yml", "ops/alertmanager/alertmanager.yml"
CONFIGURATION = (PROMETHEUS, ALERTMANAGER)
# The rules read what these collect; a job beside them changes no alert.
_JOBS = ("taskmanager", "incidents", "prometheus", "alertmanager")
_FURTHER_JOBS = {"BackupTooOld": ("backup",)}
_DIGITS = 12


def digests(alert: str, root: Path = ROOT) -> dict[str, str]:
    """By source of a proof of this alert, its digest: the rules of the alert, not those of the others."""
    return {
        "rules": _of(_rules(alert, root)),
        PROMETHEUS: _of(_timing(shortened.parsed(root / PROMETHEUS), alert)),
        ALERTMANAGER: _of(shortened.parsed(root / ALERTMANAGER)),
        "metrics": _of([_meant_by((root / name).read_text()) for name in measuring(alert)]),
    }


def measuring(alert: str) -> list[str]:
    """The modules that make what the rules of this alert read."""
    return [*MEASURING, *(name for name, alerts in MEASURING_FOR.items() if alert in alerts)]


def _rules(alert: str, root: Path) -> list[object]:
    rules = shortened.closure(shortened.rule_files(root / RULES), alert)
    return [[group["name"], group.get("interval"), _without_words(rule)] for group, rule in rules]


def _timing(prometheus: Mapping[str, Any], alert: str) -> dict[str, Any]:
    """Prometheus' configuration without addresses and keys: every rig has its own."""
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}
    addresses = ("static_configs", "authorization")
    names = (*_JOBS, *_FURTHER_JOBS.get(alert, ()))
    return {
        "global": prometheus["global"],
        "jobs": [{key: value for key, value in jobs.get(name, {}).items() if key not in addresses} for name in names],
    }


def _without_words(rule: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of an alert does not change when it comes."""
    return {name: value for name, value in rule.items() if name != "annotations"}


def _of(meant: object) -> str:
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:_DIGITS]


@functools.cache
def _meant_by(module: str) -> str:
    return ast.dump(_bare(ast.parse(module)))


def _bare(tree: ast.Module) -> ast.Module:
    """Without docstrings."""
    for node in _documented(tree):
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _documented(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
