"""Deployments as the journal has them: what became of each, and which of them was shortly before an incident."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from taskmanager.incidents.entries import Entry, read_time

COUNTED = 10

# What was deployed so shortly before an incident is the first suspect.
SUSPECT_FOR = timedelta(minutes=30)


class Result(StrEnum):
    """How a deployment ended; one that a person records by hand need not say."""

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Tally:
    """What the deployments add up to.

    `by_result` and `last_at` are by result, in number and in seconds since 1970; `share` is that of the last ten that
    succeeded, None before the first.
    """

    by_result: dict[Result, int]
    last_at: dict[Result, float]
    share: float | None


def tally(entries: Iterable[Entry]) -> Tally:
    """Of deployments in the order in which they were written.

    A refusal has touched nothing and is none of the ten, and neither is a person's way back to an older release.
    """
    by_result = dict.fromkeys(Result, 0)
    last_at: dict[Result, float] = {}
    counted: list[Result] = []
    for entry in entries:
        told = entry.facts.get("result", "")
        if told not in tuple(Result):
            continue
        result = Result(told)
        by_result[result] += 1
        last_at[result] = entry.at.timestamp()
        if result is not Result.REFUSED and entry.facts.get("verb", "deploy") == "deploy":
            counted.append(result)
    last = counted[-COUNTED:]
    share = last.count(Result.SUCCEEDED) / len(last) if last else None
    return Tally(by_result, last_at, share)


def suspects(incident: dict[str, Any], deployments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of deployments as the API shows them, those that is_suspect() finds for the time at which it was opened."""
    opened_at = read_time(incident["opened_at"])
    return [deployment for deployment in deployments if is_suspect(deployment, opened_at)]


def is_suspect(deployment: dict[str, Any], opened_at: datetime) -> bool:
    """Whether it touched anything, and was at work at `opened_at` or ended within half an hour before.

    One that is rolled back by itself ends, and is told, after the incident that it brought.
    """
    facts = deployment.get("facts", {})
    if facts.get("result") == Result.REFUSED:
        return False
    ended = read_time(deployment["at"])
    return ended - _lasted(facts) <= opened_at <= ended + SUSPECT_FOR


def _lasted(facts: dict[str, str]) -> timedelta:
    """Nothing where it does not say."""
    try:
        return timedelta(seconds=float(facts.get("seconds", 0)))
    except (ValueError, OverflowError):
        return timedelta()


def described(deployment: dict[str, Any]) -> str:
    """`1.4.0, 9f3c01a, production: rolled back`, in one line."""
    facts = deployment.get("facts", {})
    what = ", ".join(facts[name][:12] for name in ("version", "commit", "env") if name in facts)
    result = f": {facts['result'].replace('_', ' ')}" if "result" in facts else ""
    text = f" ({deployment['text']})" if deployment.get("text") else ""
    return f"{what}{result}{text}"
