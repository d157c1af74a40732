"""All metrics of one application, at /metrics."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from taskmanager import __version__
from taskmanager.access.api_key_scheme import needs
from taskmanager.access.keys import METRICS_READ
from taskmanager.dispatch.direct_route import DirectRoute
from taskmanager.documentation import documented
from taskmanager.observability.process_metrics import ProcessFigures
from taskmanager.settings import Settings


def new_registry(settings: Settings, code_heads: Iterable[str], collectors: Iterable[Collector]) -> CollectorRegistry:
    """A registry of its own: a second application in the same process is no duplicate.

    Parameters
    ----------
    code_heads: the revisions that this code needs.
    collectors: what tells the rest, each read at every scrape.
    """
    registry = CollectorRegistry()
    # A series a counter that tells when the counter was born doubles the scrape and is asked for by nobody.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessFigures(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    build = {"version": __version__, "commit": settings.commit or "", "schema_heads": ",".join(code_heads)}
    _one(registry, "taskmanager_build_info", "1, with the release.", build)
    _one(registry, "taskmanager_auth_info", "1, with who may call.", {"mode": settings.auth_mode.value})
    return registry


def _one(registry: CollectorRegistry, name: str, documentation: str, labels: dict[str, str]) -> None:
    Gauge(name, documentation, list(labels), registry=registry).labels(**labels).set(1)


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
