"""The history as metrics, read at each scrape.

What is told of incidents is what the journal adds up to, so a restart sets none of it back, and only pruning does. What
is told of the process begins anew with it: the failures at 0, the Watchdog's age at NaN.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from taskmanager.incidents.history import Incident
from taskmanager.incidents.receiver import Receiver

SEVERITIES = ("critical", "warning", "other")

# From an alert that mends itself to one that took a day.
BOUNDS_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)


class HistoryCollector(Collector):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def describe(self) -> list[Metric]:
        return []  # the registry asks for names at registration

    def collect(self) -> Iterator[Metric]:
        receiver = self._receiver
        history = receiver.history
        incidents = list(history.incidents.values())
        yield _by_severity(
            GaugeMetricFamily("taskmanager_incidents_open", "Incidents that are open.", labels=("severity",)),
            (incident for incident in incidents if incident.open),
        )
        yield _by_severity(
            CounterMetricFamily("taskmanager_incidents", "Incidents that were opened.", labels=("severity",)), incidents
        )
        yield GaugeMetricFamily(
            "taskmanager_incidents_unacknowledged",
            "Open incidents that nobody has taken up.",
            value=sum(incident.open and incident.acknowledged_at is None for incident in incidents),
        )
        yield _histogram(
            "taskmanager_incident_time_to_acknowledge_seconds",
            "From an incident's opening or reopening to its acknowledgement.",
            history.acknowledged_s,
        )
        yield _histogram(
            "taskmanager_incident_time_to_resolve_seconds",
            "From an incident's opening or reopening to its resolution.",
            history.resolved_s,
        )
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        receiver = self._receiver
        age_s = receiver.heartbeats.switches.oldest_age_s(time.monotonic())
        yield GaugeMetricFamily(
            "taskmanager_incidents_watchdog_age_seconds",
            "Since the Watchdog came last, the oldest of several; NaN before the first.",
            value=math.nan if age_s is None else age_s,
        )
        yield CounterMetricFamily(
            "taskmanager_incidents_journal_write_failures",
            "Times that the journal could not be written.",
            value=receiver.write_failures,
        )
        yield CounterMetricFamily(
            "taskmanager_incidents_alertmanager_failures",
            "Times that Alertmanager was asked for its alerts and did not answer.",
            value=receiver.alertmanager_failures,
        )
        yield CounterMetricFamily(
            "taskmanager_incidents_webhook_failures",
            "Times that the webhook did not take the news that alerting is silent, or is back.",
            value=receiver.announcer.failures,
        )
        yield GaugeMetricFamily(
            "taskmanager_incidents_journal_size_bytes", "Length of the journal.", value=receiver.journal_bytes
        )
        yield GaugeMetricFamily(
            "taskmanager_incidents_journal_damaged_lines",
            "Lines of the journal that could not be read when it was opened.",
            value=len(receiver.damage),
        )


def _by_severity(family: GaugeMetricFamily | CounterMetricFamily, incidents: Iterable[Incident]) -> Metric:
    counts = Counter(
        incident.alert.severity if incident.alert.severity in SEVERITIES else "other" for incident in incidents
    )
    for severity in SEVERITIES:
        family.add_metric((severity,), counts[severity])
    return family


def _histogram(name: str, documentation: str, durations_s: Sequence[float]) -> Metric:
    counts = [0] * (len(BOUNDS_S) + 1)
    for duration_s in durations_s:
        counts[bisect_left(BOUNDS_S, duration_s)] += 1
    bounds = (*map(str, BOUNDS_S), "+Inf")
    family = HistogramMetricFamily(name, documentation)
    family.add_metric((), list(zip(bounds, accumulate(counts), strict=True)), sum(durations_s))
    return family


def new_registry(receiver: Receiver) -> CollectorRegistry:
    """All metrics of one receiver. A registry of its own: a second one in the same process is no duplicate."""
    registry = CollectorRegistry()
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(HistoryCollector(receiver))
    return registry
