"""The codes that have a runbook, and the alerts that lead to each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migration_gate.states import State
from tests.ops.rule_files import Rule, shipped_rules

GATE_CODES = [*(str(state) for state in State if state is not State.CURRENT), "migration_failed"]

# The incident receiver's own: no rule can say that rules are silent.
OF_THE_RECEIVER = {"alerting_silent": ("AlertingSilent", "critical")}

_STATES = re.compile(r'migration_gate_state\{state=~"([a-z_|]+)"')


@dataclass(frozen=True)
class Alert:
    name: str
    severity: str


def _codes(rule: Rule) -> list[str]:
    code = rule.body["labels"]["code"]
    if "{{" not in code:
        return [code]
    states = _STATES.search(rule.expr)
    assert states is not None, f"{rule.name}: no states in its expression"
    return states[1].split("|")


def _alerts() -> dict[str, list[Alert]]:
    found = {code: [Alert(*of)] for code, of in OF_THE_RECEIVER.items()}
    for rule in shipped_rules():
        if rule.is_alert:
            for code in _codes(rule):
                alert = Alert(rule.name, rule.body["labels"]["severity"])
                if alert not in found.setdefault(code, []):
                    found[code].append(alert)
    return found


# By code; a state in which the service is well has none.
ALERTS = _alerts()

SERVICE_CODES = sorted(set(ALERTS) - set(GATE_CODES))
CODES = [*GATE_CODES, *SERVICE_CODES]
