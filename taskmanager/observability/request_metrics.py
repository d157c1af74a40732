"""The metrics of requests.

They bear the names, labels and meaning of prometheus-fastapi-instrumentator, which public dashboards know.
They are counted by the front door in plain numbers, and become metrics when somebody scrapes: the library itself, a
middleware around every request, would cost more than all else that the front door does (docs/adr/0008). A test runs
the library beside this room and compares.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from taskmanager.observability.histograms import Histogram

# A bound at the alert's 2 s and bounds above it: a histogram that ends at 1 s can never tell that 2 s were passed.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


class RequestMetrics(Collector):
    """Counts requests. Not safe across threads: it belongs to the event loop."""

    def __init__(self, buckets_s: Sequence[float] = DURATION_BUCKETS_S) -> None:
        self._bounds = tuple(buckets_s)
        self._durations = Histogram(self._bounds)
        self._by_handler: dict[str, _Sizes] = {}
        self._by_method: dict[tuple[str, str], Histogram] = {}
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
        durations = self._by_method.setdefault((method, handler), Histogram(self._bounds))
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
        everything.add_metric((), self._durations.buckets(), self._durations.sum_s)
        yield everything
        by_handler = HistogramMetricFamily(
            "http_request_duration_seconds", "How long requests took, by handler.", labels=("method", "handler")
        )
        for labels, durations in self._by_method.items():
            by_handler.add_metric(labels, durations.buckets(), durations.sum_s)
        yield by_handler


class _Sizes:
    __slots__ = ("request_bytes", "requests", "response_bytes")

    def __init__(self) -> None:
        self.requests = self.request_bytes = self.response_bytes = 0


class _Series:
    __slots__ = ("durations", "requests", "sizes")

    def __init__(self, sizes: _Sizes, durations: Histogram) -> None:
        self.requests = 0
        self.sizes = sizes
        self.durations = durations
