"""The verdict as Prometheus metrics, read from the watcher at each scrape.

Read and not pushed: a value that is computed when it is asked for cannot go stale unnoticed. Where
the database cannot be asked, the number of missing revisions is NaN and never an old zero.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from migration_gate.status import State
from migration_gate.watch import Watcher


class SchemaCollector(Collector):
    """Register it once: `registry.register(SchemaCollector(watcher))`."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def describe(self) -> list[Metric]:
        return []  # the registry asks for names at registration, when there is nothing to tell yet

    def collect(self) -> Iterator[Metric]:
        verdict = self._watcher.verdict
        state = GaugeMetricFamily(
            "migration_gate_state", "1 for the state that the schema is in, 0 for every other", labels=["state"]
        )
        for each in State:
            state.add_metric([each.value], float(each is verdict.status.state))
        yield state
        yield GaugeMetricFamily(
            "migration_gate_servable", "1 while the schema allows traffic", value=float(verdict.servable)
        )
        yield GaugeMetricFamily(
            "migration_gate_database_reachable", "1 while the last check was answered", value=float(verdict.reachable)
        )
        yield GaugeMetricFamily(
            "migration_gate_revisions_behind",
            "Revisions of the code that the database lacks; NaN while it cannot be asked",
            value=float(len(verdict.status.missing)) if verdict.reachable else math.nan,
        )
        yield GaugeMetricFamily(
            "migration_gate_check_age_seconds",
            "Seconds since the database last answered a check; NaN before the first answer",
            value=time.monotonic() - verdict.checked_at if verdict.checked_at is not None else math.nan,
        )
        yield InfoMetricFamily(
            "migration_gate_code", "The code's head revisions", value={"heads": ",".join(verdict.status.code_heads)}
        )
