"""The alerting and recording rules, and the tests that promtool runs on them, as they stand in ops/prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.ops.promql import metrics, selectors
from tests.processes import ROOT

RULES = ROOT / "ops" / "prometheus" / "rules"
TESTS = ROOT / "ops" / "prometheus" / "tests"

# The code of an alert on the schema is the state that the schema is in.
STATE_CODE = "{{ $labels.state }}"

# Labels that tell rules of one name apart.
_TELLING_LABELS = ("metric", "long")


@dataclass(frozen=True)
class Rule:
    """One rule. `body` is what stands in the file; `id` tells it from others of its name."""

    body: Mapping[str, Any]
    group: str
    interval: str
    file: Path
    id: str

    @property
    def is_alert(self) -> bool:
        return "alert" in self.body

    @property
    def name(self) -> str:
        return str(self.body.get("alert") or self.body["record"])

    @property
    def expr(self) -> str:
        return str(self.body["expr"])

    @property
    def telling(self) -> dict[str, str]:
        """The labels that tell its alerts from those of other rules of its name."""
        return {name: text for name, text in self.body.get("labels", {}).items() if name in _TELLING_LABELS}

    @property
    def codes(self) -> list[str]:
        """The codes that its alerts may have: one, or each state that it asks for."""
        code = self.body["labels"]["code"]
        if code != STATE_CODE:
            return [code]
        matchers = [each for selector in selectors(self.expr) for each in selector.matchers if each.label == "state"]
        return [state for each in matchers for state in each.value.of(self.expr).strip('"').split("|")]

    @property
    def asks_for(self) -> set[str]:
        """The metrics of its expression."""
        return metrics(self.expr)


@dataclass(frozen=True)
class TestGroup:
    """One group of a promtool file, and the file without its groups."""

    __test__ = False

    body: Mapping[str, Any]
    head: Mapping[str, Any]
    file: Path

    @property
    def name(self) -> str:
        return str(self.body["name"])

    def loads(self, rule: Rule) -> bool:
        """Is the rule among those that this file of tests is run on?"""
        return any(rule.file.match(Path(pattern).name) for pattern in self.head["rule_files"])

    def alert_tests(self, rule: Rule) -> list[dict[str, Any]]:
        """The tests of the rule's alert, less what they expect of other rules of its name."""
        return [
            {
                **test,
                "exp_alerts": [
                    alert for alert in test["exp_alerts"] or () if rule.telling.items() <= alert["exp_labels"].items()
                ],
            }
            for test in self.body.get("alert_rule_test", ())
            if test["alertname"] == rule.name
        ]

    @property
    def expr_tests(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("promql_expr_test", ()))


def read_rules(folder: Path = RULES) -> list[Rule]:
    """Every rule of the folder, in the order of files and groups."""
    found = [
        (body, group["name"], group["interval"], file)
        for file in sorted(folder.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for body in group["rules"]
    ]
    names = Counter(body.get("alert") or body["record"] for body, *_ in found)
    return [Rule(*each, id=_id(each[0], names)) for each in found]


def _id(body: Mapping[str, Any], names: Counter[str]) -> str:
    name = str(body.get("alert") or body["record"])
    if names[name] == 1:
        return name
    return " ".join([name, *(body["labels"][label] for label in _TELLING_LABELS if label in body["labels"])])


def read_tests(folder: Path = TESTS) -> list[TestGroup]:
    """Every group of tests of the folder."""
    groups = []
    for file in sorted(folder.glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        head = {key: value for key, value in content.items() if key != "tests"}
        groups += [TestGroup(body, head, file) for body in content["tests"]]
    return groups


def with_records(rules: Iterable[Rule], all_rules: Iterable[Rule]) -> list[Rule]:
    """The rules, and before them the recording rules that they stand on, however far down."""
    all_rules = list(all_rules)
    records = {rule.name: rule for rule in all_rules if not rule.is_alert}
    wanted = {rule.id for rule in rules}
    asked = list(rules)
    while asked:
        for name in asked.pop().asks_for:
            if (record := records.get(name)) is not None and record.id not in wanted:
                wanted.add(record.id)
                asked.append(record)
    return [rule for rule in all_rules if rule.id in wanted]


@cache
def shipped_rules() -> tuple[Rule, ...]:
    return tuple(read_rules())


@cache
def shipped_tests() -> tuple[TestGroup, ...]:
    return tuple(read_tests())
