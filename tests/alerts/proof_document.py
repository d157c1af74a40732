"""The text of docs/alerts-proof.md, computed from the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.alerts import limits, quiet_scenarios
from tests.alerts.fault import IMMEDIATE, IMMEDIATE_WITHIN_S, WATCHDOG, Fault, SeenBy
from tests.alerts.faults import FAULTS, ROUNDS_OF_THE_IMMEDIATE

Round = Mapping[str, Any]

_HEAD = f"""\
# Every alert has its fault

A rule that was never seen to fire is a hope. So each alert of `ops/prometheus/rules/` is provoked by a real fault, on
real processes: the service, PostgreSQL, Prometheus, Alertmanager and the incident receiver, with the shipped
configuration at its own intervals. The time runs from the fault to the arrival of Alertmanager's webhook.

Each round has a rig of its own. It begins with a steady state in which nothing fires but `{WATCHDOG}`; the fault
comes at a random moment between two scrapes. A round fails where another alert comes that the fault does not explain,
where the notification lacks its runbook or holds something personal, and where the end is not told after the repair.

This page is computed from [the rounds](proof/events.jsonl), a line each. `make prove-alerts` runs them all anew,
`make prove-alerts ALERT=ServiceDown` those of one alert. A test fails when the rules, the configuration or the
metrics have changed since.

*Limit* is no measurement. It is the sum of what is configured: how long the service takes to notice, a scrape, its
timeout where the process hangs, the window where it must fill, an evaluation, the rule's `for`, and Alertmanager's
`group_wait`. *End* is the worst time from the repair to the notification that it is over. Times are in seconds.

## Immediate alerts

They are told in less than {IMMEDIATE_WITHIN_S:.0f} seconds, in the worst of {ROUNDS_OF_THE_IMMEDIATE} rounds of each.
"""

_OTHERS = """\
## All other alerts

A rate needs a window, and a warning a moment's patience, so these take as long as they are meant to. Where a window
or a wait is longer than two minutes, all durations of the rule were divided by the number that is given.
"""

_QUIET = """\
## What must fire nothing

An alert that comes with every deployment is one that nobody reads. These run under load, on two replicas.
"""


def document(rounds: Sequence[Round]) -> str:
    """The whole document."""
    configuration = limits.shipped()
    immediate = [fault for fault in FAULTS if fault.alert in IMMEDIATE]
    others = [fault for fault in FAULTS if fault.alert not in IMMEDIATE]
    parts = (
        _HEAD,
        _table(_FAULTS_HEADER, (_row(fault, rounds, configuration) for fault in immediate)),
        _OTHERS,
        _table(_FAULTS_HEADER, (_row(fault, rounds, configuration) for fault in others)),
        _QUIET,
        _table(_QUIET_HEADER, _quiet_rows(rounds)),
        _circumstances(rounds),
    )
    return "\n".join(part for part in parts if part)


def of_fault(fault: Fault, rounds: Iterable[Round]) -> list[Round]:
    """The rounds of a fault."""
    return [each for each in rounds if (each["alert"], each["fault"]) == (fault.alert, fault.name)]


_FAULTS_HEADER = (
    "| alert | fault | rounds | median | worst | limit | end |",
    "|---|---|---:|---:|---:|---:|---:|",
)
_QUIET_HEADER = ("| what happens | minutes | requests | answered 5xx | alerts |", "|---|---:|---:|---:|---|")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([*header, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _row(fault: Fault, rounds: Sequence[Round], configuration: limits.Configuration) -> Sequence[str]:
    own = of_fault(fault, rounds)
    told = [each["told_s"] for each in own if each["told_s"] is not None]
    ends = [each["resolved_s"] for each in own if each["resolved_s"] is not None]
    return (
        f"`{fault.alert}`",
        fault.told + _remarks(fault),
        f"{len(own)}",
        f"{statistics.median(told):.2f}" if told else "not told",
        f"{max(told):.2f}" if told else "not told",
        f"{limits.limit_s(fault, configuration):.1f}",
        f"{max(ends):.1f}" if ends else "not told",
    )


def _remarks(fault: Fault) -> str:
    remarks = {
        f"durations divided by {fault.setting.shortened}": fault.setting.shortened > 1,
        "told by the receiver, as `alerting_silent`": fault.seen_by is SeenBy.RECEIVER,
        "seen on Prometheus' page, since nobody can be told": fault.seen_by is SeenBy.PROMETHEUS,
    }
    made = [remark for remark, holds in remarks.items() if holds]
    return f" ({'; '.join(made)})" if made else ""


def _quiet_rows(rounds: Iterable[Round]) -> Iterator[Sequence[str]]:
    told = {scenario.name: scenario.told for scenario in quiet_scenarios.SCENARIOS}
    for each in rounds:
        if each["alert"] == quiet_scenarios.NONE and each["fault"] in told:
            answers = each["answers"]
            failed = sum(count for answer, count in answers.items() if answer.startswith("5"))
            alerts = sorted({*each["fired"], *each["also_told"]} - {WATCHDOG})
            yield (
                told[each["fault"]],
                f"{each['lasted_s'] / 60:.1f}",
                f"{sum(answers.values())}",
                f"{failed}",
                ", ".join(f"`{name}`" for name in alerts) or "none",
            )


def _circumstances(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    machines, versions, loads = set(), set(), set()
    for each in rounds:
        machine = each["machine"]
        gibibytes = machine["memory_bytes"] / 2**30
        machines.add(f"{machine['processor']}, {machine['cores']} cores, {gibibytes:.0f} GiB")
        loads.add(machine["load_average"])
        versions.add(", ".join(f"{name} {version}" for name, version in sorted(each["versions"].items())))
    days = sorted({each["began"][:10] for each in rounds})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    load = " to ".join(f"{each:.1f}" for each in sorted({min(loads), max(loads)}))
    lines = [*sorted(machines), *sorted(versions), f"{len(rounds)} rounds, {when}; load average at their start: {load}"]
    return "## Circumstances\n\n" + "".join(f"- {line}\n" for line in lines)
