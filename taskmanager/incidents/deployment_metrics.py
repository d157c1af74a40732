"""Deployments as metrics, read of the journal at each scrape: a restart sets none of them back."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from taskmanager.incidents.deployments import Result, tally
from taskmanager.incidents.receiver import Receiver


class DeploymentsCollector(Collector):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def describe(self) -> list[Metric]:
        return []  # the registry asks for names at registration

    def collect(self) -> Iterator[Metric]:
        told = tally(self._receiver.history.deployments)
        total = CounterMetricFamily("taskmanager_deployments", "Deployments by how they ended.", labels=("result",))
        last = GaugeMetricFamily(
            "taskmanager_deployment_last_timestamp_seconds",
            "When the last deployment of a result ended, in seconds since 1970; NaN before the first.",
            labels=("result",),
        )
        for result in Result:
            total.add_metric((result.value,), told.by_result[result])
            last.add_metric((result.value,), told.last_at.get(result, math.nan))
        yield total
        yield last
        yield GaugeMetricFamily(
            "taskmanager_deployment_success_ratio",
            "Of the last ten deployments, the share that succeeded, refusals left out; NaN before the first.",
            value=math.nan if told.share is None else told.share,
        )
