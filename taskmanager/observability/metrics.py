"""The metrics, at /metrics. The only module that knows by which library they are made.

HTTP metrics bear the names of prometheus-fastapi-instrumentator, which public dashboards know. Its defaults
hide what this project must see, hence the settings below.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Response
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
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator import metrics as http_metrics

from migration_gate.metrics import SchemaCollector
from migration_gate.watch import Watcher
from taskmanager import __version__

# A bound at the alert's 2 s and bounds above it: a histogram that ends at 1 s can never tell that 2 s were passed.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)

# Probes and scrapes would dilute every rate and quantile.
_UNMEASURED = ["^/metrics$", "^/health$", "^/livez$", "^/readyz$"]


def install(app: FastAPI, watcher: Watcher) -> None:
    """Measure the application's requests and serve the metrics."""
    # A registry of its own: a second application in the same process is no duplicate.
    registry = CollectorRegistry()
    # A series a counter that tells when the counter was born doubles the scrape and is asked for by nobody.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(SchemaCollector(watcher))
    Gauge("taskmanager_build_info", "1, with the release", ["version"], registry=registry).labels(__version__).set(1)
    instrumentator = Instrumentator(
        # 500, 503 and 504 mean different things.
        should_group_status_codes=False,
        excluded_handlers=_UNMEASURED,
        registry=registry,
    )
    instrumentator.add(
        http_metrics.default(
            latency_highr_buckets=DURATION_BUCKETS_S, latency_lowr_buckets=DURATION_BUCKETS_S, registry=registry
        )
    )
    instrumentator.instrument(app)
    app.include_router(_router(registry))


def _router(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["operations"])

    # On the event loop and not in the thread pool: a full thread pool is what the metrics must tell of.
    @router.get("/metrics", operation_id="metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
