"""The metrics of what is asked of the database: how long it took, what went wrong, and who waited for a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from taskmanager.database_errors import ErrorKind, kind_of
from taskmanager.observability.histograms import Histogram

# The bounds of OpenTelemetry's db.client.operation.duration, in seconds. The longest statement may take 1.4.
QUERY_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

OTHER_OPERATION = "other"


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections by what they do, those that the pool may have, and requests that wait for one."""

    idle: int
    used: int
    most: int
    waiting: int


class HasPool(Protocol):
    """What knows the pool's state."""

    def pool_state(self) -> PoolState: ...


class DatabaseMetrics:
    """Counts statements. Not safe across threads: it belongs to the event loop.

    Parameters
    ----------
    operations: name to SQL of every statement. A name is a label, the SQL never is.
    """

    def __init__(self, operations: Mapping[str, str] | None = None) -> None:
        self.errors = dict.fromkeys(ErrorKind, 0)
        self.waits = Histogram(QUERY_BUCKETS_S)
        self.durations = {name: Histogram(QUERY_BUCKETS_S) for name in (*(operations or {}), OTHER_OPERATION)}
        self._by_sql = {sql: self.durations[name] for name, sql in (operations or {}).items()}
        self._other = self.durations[OTHER_OPERATION]
        self._names = {sql: name for name, sql in (operations or {}).items()}

    def failed(self, error: BaseException) -> None:
        """Count what a statement, or the connection for one, has met."""
        self.errors[kind_of(error)] += 1

    def operation(self, sql: str) -> str:
        """The statement's name, as the metrics and the traces tell it."""
        return self._names.get(sql, OTHER_OPERATION)

    def took(self, sql: str, seconds: float) -> None:
        """Count a statement that PostgreSQL has answered, whatever the answer was."""
        self._by_sql.get(sql, self._other).observe(seconds)


class DatabaseCollector(Collector):
    """Makes the counts metrics. Every series is there from the first scrape: a rule on a counter that is born with its
    first error never sees that error."""

    def __init__(self, metrics: DatabaseMetrics, pool: HasPool) -> None:
        self._metrics = metrics
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        errors = CounterMetricFamily(
            "taskmanager_db_errors", "What statements and connections met, by kind.", labels=("kind",)
        )
        for kind, count in self._metrics.errors.items():
            errors.add_metric((kind.value,), count)
        yield errors
        durations = HistogramMetricFamily(
            "taskmanager_db_query_duration_seconds", "How long statements took, by name.", labels=("operation",)
        )
        for operation, histogram in self._metrics.durations.items():
            durations.add_metric((operation,), histogram.buckets(), histogram.sum_s)
        yield durations
        waits = HistogramMetricFamily(
            "taskmanager_db_pool_wait_seconds", "How long statements waited for a connection of the pool."
        )
        waits.add_metric((), self._metrics.waits.buckets(), self._metrics.waits.sum_s)
        yield waits
        yield from self._of_the_pool(self._pool.pool_state())

    @staticmethod
    def _of_the_pool(state: PoolState) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "taskmanager_db_pool_connections", "Connections of the pool by what they do.", labels=("state",)
        )
        connections.add_metric(("idle",), state.idle)
        connections.add_metric(("used",), state.used)
        yield connections
        yield GaugeMetricFamily(
            "taskmanager_db_pool_max", "Connections that the pool may have at most.", value=state.most
        )
        yield GaugeMetricFamily(
            "taskmanager_db_pool_waiting", "Statements that wait for a connection now.", value=state.waiting
        )
