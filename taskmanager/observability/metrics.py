"""The metrics, at /metrics. The only room that knows by which library they are made.

HTTP metrics bear the names, labels and meaning of prometheus-fastapi-instrumentator, which public dashboards know.
They are counted by the front door in plain numbers, and become metrics when somebody scrapes: the library itself, a
middleware around every request, would cost more than all else that the front door does (docs/adr/0008). A test runs
the library beside this room and compares.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from migration_gate.metrics import SchemaCollector
from migration_gate.watch import Watcher
from taskmanager import __version__
from taskmanager.access.api_key_scheme import needs
from taskmanager.access.keys import METRICS_READ
from taskmanager.dispatch.direct_route import DirectRoute
from taskmanager.documentation import documented

# A bound at the alert's 2 s and bounds above it: a histogram that ends at 1 s can never tell that 2 s were passed.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


class RequestMetrics(Collector):
    """Counts requests. Not safe across threads: it belongs to the event loop."""

    def __init__(self, buckets_s: Sequence[float] = DURATION_BUCKETS_S) -> None:
        self._bounds = tuple(buckets_s)
        self._durations = _Durations(len(self._bounds))
        self._by_handler: dict[str, _Sizes] = {}
        self._by_method: dict[tuple[str, str], _Durations] = {}
        self._series: dict[tuple[str, int, str], _Series] = {}

    def count(
        self, method: str, status: int, handler: str, duration_s: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Count one request.

        Parameters
        ----------
        method: one of a bounded set.
        handler: the route's path with its parameter's name in it, or `none`; never the path that was asked for.
        duration_s: from the request's head to the end of its answer, in seconds.
        request_bytes, response_bytes: what the Content-Length headers say, 0 where there is none.
        """
        series = self._series.get((method, status, handler))
        if series is None:
            series = self._new_series(method, status, handler)
        series.requests += 1
        sizes = series.sizes
        sizes.requests += 1
        sizes.request_bytes += request_bytes
        sizes.response_bytes += response_bytes
        bucket = bisect_left(self._bounds, duration_s)
        for durations in (series.durations, self._durations):
            durations.counts[bucket] += 1
            durations.sum_s += duration_s

    def _new_series(self, method: str, status: int, handler: str) -> _Series:
        sizes = self._by_handler.setdefault(handler, _Sizes())
        durations = self._by_method.setdefault((method, handler), _Durations(len(self._bounds)))
        return self._series.setdefault((method, status, handler), _Series(sizes, durations))

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "http_requests", "Requests by method, status and handler.", labels=("method", "status", "handler")
        )
        for (method, status, handler), series in self._series.items():
            total.add_metric((method, str(status), handler), series.requests)
        yield total
        incoming = SummaryMetricFamily(
            "http_request_size_bytes", "Length of requests by handler, as their headers tell it.", labels=("handler",)
        )
        outgoing = SummaryMetricFamily(
            "http_response_size_bytes", "Length of answers by handler, as their headers tell it.", labels=("handler",)
        )
        for handler, sizes in self._by_handler.items():
            incoming.add_metric((handler,), sizes.requests, sizes.request_bytes)
            outgoing.add_metric((handler,), sizes.requests, sizes.response_bytes)
        yield incoming
        yield outgoing
        everything = HistogramMetricFamily(
            "http_request_duration_highr_seconds", "How long requests took, all handlers together."
        )
        everything.add_metric((), self._buckets(self._durations), self._durations.sum_s)
        yield everything
        by_handler = HistogramMetricFamily(
            "http_request_duration_seconds", "How long requests took, by handler.", labels=("method", "handler")
        )
        for labels, durations in self._by_method.items():
            by_handler.add_metric(labels, self._buckets(durations), durations.sum_s)
        yield by_handler

    def _buckets(self, durations: _Durations) -> list[tuple[str, float]]:
        bounds: Iterable[str] = (*map(str, self._bounds), "+Inf")
        return list(zip(bounds, accumulate(durations.counts), strict=True))


class _Durations:
    __slots__ = ("counts", "sum_s")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum_s = 0.0


class _Sizes:
    __slots__ = ("request_bytes", "requests", "response_bytes")

    def __init__(self) -> None:
        self.requests = self.request_bytes = self.response_bytes = 0


class _Series:
    __slots__ = ("durations", "requests", "sizes")

    def __init__(self, sizes: _Sizes, durations: _Durations) -> None:
        self.requests = 0
        self.sizes = sizes
        self.durations = durations


def new_registry(watcher: Watcher, requests: RequestMetrics, auth_mode: str) -> CollectorRegistry:
    """All metrics of one application. A registry of its own: a second one in the same process is no duplicate."""
    registry = CollectorRegistry()
    # A series a counter that tells when the counter was born doubles the scrape and is asked for by nobody.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(SchemaCollector(watcher))
    registry.register(requests)
    Gauge("taskmanager_build_info", "1, with the release", ["version"], registry=registry).labels(__version__).set(1)
    Gauge("taskmanager_auth_info", "1, with who may call", ["mode"], registry=registry).labels(auth_mode).set(1)
    return registry


def router(registry: CollectorRegistry) -> APIRouter:
    """The route of the scrape."""
    router = APIRouter(tags=["operations"], route_class=DirectRoute)

    # On the event loop and not in the thread pool: a full thread pool is what the metrics must tell of.
    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        dependencies=[needs(METRICS_READ)],
        responses=documented.METRICS,
    )
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
