"""Whether a part of the observability was on or off while it was measured, by what it has left behind.

Without this, a part that had silently stopped working would be one that costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.failures import WrongAnswer

_REQUEST_LINE = b'"logger": "taskmanager.requests"'


@dataclass(frozen=True)
class Evidence:
    """What a service has told in the end.

    Parameters
    ----------
    metrics: of /metrics.
    log: the file of its log.
    answers: how many requests it has answered at least.
    """

    metrics: str
    log: Path
    answers: int

    @cached_property
    def samples(self) -> dict[str, float]:
        """Values by name, those of one name added up; NaN where one of them is."""
        told: dict[str, float] = {}
        for family in text_string_to_metric_families(self.metrics):
            for sample in family.samples:
                told[sample.name] = told.get(sample.name, 0.0) + sample.value
        return told

    def value(self, name: str) -> float:
        return self.samples.get(name, 0.0)

    def request_lines(self) -> int:
        with self.log.open("rb") as log:
            return sum(_REQUEST_LINE in line for line in log)


# What a part has counted; nothing where it was off.
_LEFT_BEHIND: Mapping[str, Callable[[Evidence], float]] = {
    "request_metrics": lambda told: told.value("http_requests_total"),
    "request_log": lambda told: told.request_lines(),
    "database_metrics": lambda told: told.value("taskmanager_db_query_duration_seconds_count"),
    "activity": lambda told: _known(told.value("taskmanager_postgres_connections")),
    "loop_lag": lambda told: told.value("taskmanager_event_loop_lag_seconds"),
}
# These see every request.
_OF_EACH_ANSWER = {"request_metrics", "request_log"}


def require(without: frozenset[str], told: Evidence) -> None:
    """Raises WrongAnswer where a part was on that is named here, or one off that is not."""
    for part, left_behind in _LEFT_BEHIND.items():
        found = left_behind(told)
        if part in without:
            if found:
                raise WrongAnswer(f"{part} was to be off, and has left {found:g} behind")
            continue
        expected = told.answers if part in _OF_EACH_ANSWER else 0
        if not found or found < expected:
            raise WrongAnswer(f"{part} was to be on, and has left {found:g} behind after {told.answers} answers")


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value
