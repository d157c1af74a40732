"""Asking Prometheus what it saw: series over a window, and the expressions of an alert's rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from taskmanager.incidents import web
from taskmanager.incidents.postmortem.timeline import SourceFailed, Window


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and its samples in order. Times in seconds since 1970; no value is NaN."""

    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]

    def runs(self, step_s: float) -> list[tuple[datetime, datetime]]:
        """From when to when it was there without a gap."""
        found: list[tuple[float, float]] = []
        for at, _ in self.samples:
            if found and at - found[-1][1] <= 1.5 * step_s:
                found[-1] = (found[-1][0], at)
            else:
                found.append((at, at))
        return [(time_of(start), time_of(end)) for start, end in found]

    def changes(self) -> Iterator[tuple[datetime, float, float]]:
        """When its value changed, from what, to what."""
        for (_, before), (at, after) in pairwise(self.samples):
            if before != after:
                yield time_of(at), before, after

    def growth(self, window: Window, since: datetime, until: datetime) -> float:
        """By how much a counter grew in a part of the window. What it has when it first appears counts too, unless it
        was there before anybody looked; a smaller value is a new process, which began at 0."""
        grown, before = 0.0, None
        for at, value in self.samples:
            born = before is None and at > window.start.timestamp() + window.step_s
            if since.timestamp() <= at <= until.timestamp() and (before is not None or born):
                grown += value - before if before is not None and value >= before else value
            before = value
        return grown


def time_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class Prometheus:
    """One server, asked over its HTTP API. Every method raises SourceFailed."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def series(self, query: str, window: Window) -> list[Series]:
        """What a query gives at each step of a window."""
        found = self._ask(
            "/api/v1/query_range",
            {
                "query": query,
                "start": f"{window.start.timestamp():.3f}",
                "end": f"{window.end.timestamp():.3f}",
                "step": f"{window.step_s:.1f}",
            },
        )
        return [_series(each) for each in found.get("result", [])]

    def expressions(self, alert: str, labels: dict[str, str]) -> list[str]:
        """The expressions of the rules that may have raised an alert of this name with these labels: several rules can
        have one name, and differ in a label that they set."""
        found = self._ask("/api/v1/rules", {"type": "alert"})
        rules = [rule for group in found.get("groups", []) for rule in group.get("rules", [])]
        fitting = [
            str(rule["query"])
            for rule in rules
            if rule.get("name") == alert and _may_have_set(rule.get("labels", {}), labels)
        ]
        return list(dict.fromkeys(fitting))

    def _ask(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        try:
            answer = web.ask(self._url + path, query=query, timeout_s=30.0)
        except web.Unreachable as error:
            raise SourceFailed(str(error)) from None
        content = answer.content
        if not isinstance(content, dict) or content.get("status") != "success":
            reason = content.get("error", "") if isinstance(content, dict) else ""
            raise SourceFailed(str(reason) or f"it answered {answer.status}")
        data: dict[str, Any] = content["data"]
        return data


def _may_have_set(of_rule: dict[str, str], labels: dict[str, str]) -> bool:
    """A template's value is not known before it fires, and a label that the incident does not have need not have been
    kept: neither speaks against a rule."""
    return all("{{" in value or labels.get(name, value) == value for name, value in of_rule.items())


def _series(found: dict[str, Any]) -> Series:
    samples = ((float(at), float(value)) for at, value in found["values"])
    return Series(found["metric"], tuple((at, value) for at, value in samples if not math.isnan(value)))
