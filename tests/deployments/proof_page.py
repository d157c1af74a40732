"""The page of the proof, made from what was seen."""

from __future__ import annotations

from typing import Any


def page(proof: dict[str, Any]) -> str:
    """docs/deployment-proof.md."""
    from tests.deployments.prove import migration_s, rollback_s

    load, good, bad = proof["load"], proof["good"], proof["bad"]
    verdict = "Proven." if not proof["faults"] else "**Not proven**: " + "; ".join(proof["faults"]) + "."
    latency = " / ".join(f"{load['latency_ms'][name]:g}" for name in ("p50", "p99", "max"))
    host = proof["host"]
    lines = [
        "# The proof of the deployments",
        "",
        f"{verdict} Written by `make prove-deployments` on {proof['when']}.",
        f"What it is made of: [deployments.json](proof/deployments.json). {proof['replicas']} replicas behind HAProxy,",
        f"{proof['rows']:,} tasks, {host['processors']} processors, Python {host['python']}; at the end",
        f"the load average was {host['load'][0]:.1f}.",
        "",
        "| | |",
        "|---|---|",
        f"| good deployments in a row | {sum(each.get('result') == 'succeeded' for each in good)} of {len(good)} |",
        f"| requests, at a constant {proof['rate']:g} a second | {load['sent']:,} in {load['seconds']:g} s |",
        f"| **failed requests** | **{load['failed']}** |",
        f"| answers by status | {', '.join(f'{status}: {count:,}' for status, count in load['answers'].items())} |",
        f"| latency, p50 / p99 / longest | {latency} ms |",
        f"| the longest migration | {max(map(migration_s, good), default=0):.1f} s |",
        f"| the bad deployment | {bad.get('result')}: {bad.get('reason')} |",
    ]
    if bad.get("result") == "rolled_back":
        lines.append(f"| from its first process to the old release alone | {rollback_s(bad):.1f} s |")
    asked = proof["answering_during_the_bad_one"]
    old = asked.get(bad.get("previous", ""), 0)
    lines += [
        f"| who answers, asked during the bad deployment | {sum(asked.values())} times; {old} times the one before |",
        "",
        "A 404 is expected where a task is read or changed that another request has deleted meanwhile. No request is",
        "sent twice: one whose connection ends without an answer is a failed one.",
        "",
        "| deployment | result | seconds | of it: checks | migration | replacing |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(number, record) for number, record in enumerate([*good, bad], 1)]
    return "\n".join(lines) + "\n"


def _row(number: int, record: dict[str, Any]) -> str:
    seconds = {"before": 0.0, "migrate": 0.0, "after": 0.0}
    part = "before"
    for step in record.get("steps", ()):
        if step["step"] == "migrate":
            part = "after"
            seconds["migrate"] += step["seconds"]
        else:
            seconds[part] += step["seconds"]
    told = " | ".join(f"{value:.1f}" for value in seconds.values())
    return f"| {number} | {record.get('result')} | {record.get('seconds')} | {told} |"
