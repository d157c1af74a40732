"""docs/alerts-proof.md, computed from the rounds of docs/proof/events.jsonl.

python -m tests.alerts.report            write it
python -m tests.alerts.report --check    fail where it, or what it was made from, is not of this tree
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.alerts import events, limits, quiet_scenarios, sources
from tests.alerts.fault import IMMEDIATE, IMMEDIATE_WITHIN_S
from tests.alerts.faults import FAULTS, ROUNDS_OF_THE_IMMEDIATE, alerts
from tests.alerts.proof_document import Round, document, of_fault
from tests.alerts.shortened import rules_of
from tests.processes import ROOT

DOCUMENT = ROOT / "docs/alerts-proof.md"
# Beside what is configured, the work itself: a request, a query, a notification, and a machine that does other things.
WORK_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.alerts.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, and tell what is wrong")
    options = parser.parse_args(arguments)
    if not options.check:
        write()
        print(f"wrote {DOCUMENT.relative_to(ROOT)}")
        return 0
    found = list(faults_of_proof())
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def write() -> None:
    """Compute the document anew."""
    DOCUMENT.write_text(document(events.read()), encoding="utf-8")


def faults_of_proof() -> Iterator[str]:
    """Why the proof that is committed is none of this tree, a line each."""
    rounds = events.read()
    yield from faults_of_rounds(rounds)
    if not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != document(rounds):
        yield f"{DOCUMENT.name} is not what the rounds say: python -m tests.alerts.report"


def faults_of_rounds(rounds: Sequence[Round], root: Path = ROOT) -> Iterator[str]:
    """What the rounds do not prove of the rules and the configuration in `root`."""
    configuration = limits.shipped(root)
    shipped = {rule["alert"] for _, rule in rules_of(configuration.rules) if "alert" in rule}
    yield from (f"{alert} has no fault: write one in tests/alerts/faults/" for alert in sorted(shipped - {*alerts()}))
    yield from (f"{alert} has a fault, and no rule" for alert in sorted({*alerts()} - shipped))
    for alert in [alert for alert in alerts() if alert in shipped]:
        own = [each for each in rounds if each["alert"] == alert]
        yield from _faults_of_alert(alert, own, sources.digests(alert, root))
        yield from _not_explained(alert, own, configuration)
    passed = {each["fault"] for each in rounds if each["alert"] == quiet_scenarios.NONE and each["passed"]}
    for scenario in quiet_scenarios.SCENARIOS:
        if scenario.name not in passed:
            yield f"nothing shows that {scenario.name} fires nothing: make prove-alerts ALERT={quiet_scenarios.NONE}"


def _faults_of_alert(alert: str, rounds: Sequence[Round], digests: Mapping[str, str]) -> Iterator[str]:
    again = f"make prove-alerts ALERT={alert}"
    proven = {each["fault"] for each in rounds}
    for fault in FAULTS:
        if fault.alert == alert and fault.name not in proven:
            yield f"{alert}: the fault {fault.name} is not proven: {again}"
    for each in rounds:
        where = f"{alert}, round {each['round']} ({each['fault']})"
        if not each["passed"]:
            yield f"{where}: {'; '.join(each['problems'])}"
        changed = sorted(name for name, digest in digests.items() if each["sources"].get(name) != digest)
        if changed:
            yield f"{where}: made before a change of {', '.join(changed)}: {again}"
    if alert in IMMEDIATE:
        if len(rounds) < ROUNDS_OF_THE_IMMEDIATE:
            yield f"{alert}: {len(rounds)} rounds, {ROUNDS_OF_THE_IMMEDIATE} are needed: {again}"
        for each in rounds:
            if each["told_s"] is not None and each["told_s"] >= IMMEDIATE_WITHIN_S:
                yield f"{alert}: told after {each['told_s']:.2f} s, and {IMMEDIATE_WITHIN_S:.0f} s are promised"


def _not_explained(alert: str, rounds: Sequence[Round], configuration: limits.Configuration) -> Iterator[str]:
    for fault in FAULTS:
        if fault.alert == alert:
            limit_s = limits.limit_s(fault, configuration)
            for each in of_fault(fault, rounds):
                if each["told_s"] is not None and each["told_s"] > limit_s + WORK_S:
                    yield f"{alert}: {fault.name} took {each['told_s']:.2f} s, of which {limit_s:.1f} s are explained"


if __name__ == "__main__":
    sys.exit(main())
