"""Write Prometheus's rules as the operator's PrometheusRule, or hold the file against them.

    python -m ops.kubernetes.prometheus_rule
    python -m ops.kubernetes.prometheus_rule --check

The rules are those of `ops/prometheus/rules`, word for word, but for one: there `env` comes from the external labels of
a Prometheus that watches one environment. An operator's Prometheus may watch several, so here it is written out, and
is the label that the PodMonitors beside give to what they scrape.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).resolve().parent.parent / "prometheus" / "rules"
FILE = Path(__file__).resolve().parent / "monitoring" / "prometheus-rule.yaml"
ENVIRONMENT = "production"

_EXTERNAL = "{{ $externalLabels.env }}"

_HEADER = """\
# Made of ops/prometheus/rules, where each rule has its reasons, by `python -m ops.kubernetes.prometheus_rule`.
# `make check` holds it against them.
"""


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay so."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def groups(folder: Path = RULES, environment: str = ENVIRONMENT) -> list[dict[str, Any]]:
    """The groups of every rule file, in the order of the files, with `env` written out."""
    found: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*.yml")):
        text = file.read_text(encoding="utf-8").replace(_EXTERNAL, environment)
        found += yaml.safe_load(text)["groups"]
    return found


def text(folder: Path = RULES, environment: str = ENVIRONMENT) -> str:
    """The whole file."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "taskmanager"},
        "spec": {"groups": groups(folder, environment)},
    }
    return _HEADER + yaml.dump(rule, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.kubernetes.prometheus_rule", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file is not current")
    parser.add_argument("--file", type=Path, default=FILE, help="the file (default: %(default)s)")
    parser.add_argument("--rules", type=Path, default=RULES, help="the folder of the rules (default: %(default)s)")
    options = parser.parse_args(arguments)
    made = text(options.rules)
    if not options.check:
        options.file.write_text(made, encoding="utf-8")
        return 0
    if options.file.is_file() and options.file.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(
        f"{options.file}: is not what the rules say any more. Then: python -m ops.kubernetes.prometheus_rule\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
