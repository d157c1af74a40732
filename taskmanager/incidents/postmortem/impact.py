"""What the incident did to those who use the service, by Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from taskmanager.incidents.postmortem.prometheus import Prometheus
from taskmanager.incidents.postmortem.signals import ERROR_RATIO, P95_S, matcher
from taskmanager.incidents.postmortem.timeline import Window


@dataclass(frozen=True, slots=True)
class Impact:
    """Requests between two times. Counts are of what was scraped: what a process counted after its last scrape is not
    in them, nor what never reached one."""

    since: datetime
    until: datetime
    requests: int
    failed: int
    """Answered 5xx, without those refused while a migration ran."""
    refused: dict[str, int]
    """503 by reason, those while a migration ran included."""
    highest_ratio: float | None
    highest_p95_s: float | None

    @property
    def ratio(self) -> float | None:
        return self.failed / self.requests if self.requests else None


def measure(prometheus: Prometheus, window: Window, env: str, since: datetime, until: datetime) -> Impact:
    """Raises SourceFailed."""
    env = matcher(env)
    by_status: dict[str, float] = {}
    for series in prometheus.series(f"sum by (instance, status) (http_requests_total{{{env}}})", window):
        status = series.labels.get("status", "")
        by_status[status] = by_status.get(status, 0.0) + series.growth(window, since, until)
    refused: dict[str, float] = {}
    for series in prometheus.series(f"sum by (instance, reason) (taskmanager_requests_refused_total{{{env}}})", window):
        reason = series.labels.get("reason", "?")
        refused[reason] = refused.get(reason, 0.0) + series.growth(window, since, until)
    errors = sum(count for status, count in by_status.items() if status.startswith("5"))
    return Impact(
        since,
        until,
        requests=round(sum(by_status.values())),
        failed=max(0, round(errors - refused.get("migrating", 0.0))),
        refused={reason: round(count) for reason, count in sorted(refused.items()) if round(count)},
        highest_ratio=_highest(prometheus, ERROR_RATIO.format(env=env), window, since, until),
        highest_p95_s=_highest(prometheus, P95_S.format(env=env), window, since, until),
    )


def _highest(prometheus: Prometheus, query: str, window: Window, since: datetime, until: datetime) -> float | None:
    values = [
        value
        for series in prometheus.series(query, window)
        for at, value in series.samples
        if since.timestamp() <= at <= until.timestamp()
    ]
    return max(values, default=None)
