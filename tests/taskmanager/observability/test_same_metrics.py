"""Our request metrics beside the library whose names they bear: same names, labels and values for the same requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator import metrics as library

from taskmanager.observability.health import QUIET_PATHS
from taskmanager.observability.request_metrics import DURATION_BUCKETS_S, RequestMetrics

# A counter's time of birth is switched off in the service's process; the library's here may have been made before.
_BORN = "_created"


@pytest.fixture
def theirs() -> CollectorRegistry:
    return CollectorRegistry()


@pytest_asyncio.fixture
async def client(app: FastAPI, theirs: CollectorRegistry) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the application, with the library's middleware around all of it, the front door included."""
    wrapped = Instrumentator(
        should_group_status_codes=False,
        excluded_handlers=[f"^{path}$" for path in QUIET_PATHS],
        registry=theirs,
    ).add(
        library.default(
            latency_highr_buckets=DURATION_BUCKETS_S, latency_lowr_buckets=DURATION_BUCKETS_S, registry=theirs
        )
    )
    stack = app.middleware_stack
    assert stack is not None
    outer = FastAPI()
    wrapped.instrument(outer)
    (middleware,) = outer.user_middleware
    # FastAPI sets scope["app"] before the stack is entered, which is where the library looks for routes.
    app.middleware_stack = middleware.cls(stack, *middleware.args, **middleware.kwargs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        yield client


def exposed(registry: CollectorRegistry) -> dict[tuple[str, str], dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and type; durations are only counted, since two clocks never agree."""
    found: dict[tuple[str, str], dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            if sample.name.endswith(_BORN):
                continue
            measured = "duration" in sample.name and not sample.name.endswith("_count")
            le = sample.labels.get("le")
            value = sample.value if not measured or le == "+Inf" else -1.0
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault((sample.name, family.type), {})[labels] = value
    return found


async def test_names_labels_and_values_are_those_of_the_library(
    app: FastAPI, client: httpx.AsyncClient, theirs: CollectorRegistry
) -> None:
    for number in range(3):
        await client.post("/tasks", json={"title": f"task {number}", "description": "é" * number * 100})
    for path in (
        "/tasks",
        "/tasks?limit=1",
        "/tasks/1",
        "/tasks/99",
        "/tasks/x",
        "/tasks?limit=0",
        "/version",
        "/health",
    ):
        await client.get(path)
    await client.get("/tasks/1", headers={"If-None-Match": '"1"'})
    await client.put("/tasks/1", json={"title": "b"})
    await client.put("/tasks/1", content=b"{")
    await client.patch("/tasks/1", json={"priority": "low"})
    await client.post("/tasks", content=b"x" * 100_000, headers={"Content-Type": "application/json"})
    await client.delete("/tasks/2")
    await client.delete("/tasks")
    await client.get("/nowhere")

    ours = CollectorRegistry()
    ours.register(_requests(app))
    expected, found = exposed(theirs), exposed(ours)

    assert found.keys() == expected.keys()
    for name, samples in expected.items():
        assert found[name] == samples, name


async def test_before_the_first_request_the_same_names_are_there(app: FastAPI, theirs: CollectorRegistry) -> None:
    library.default(latency_highr_buckets=DURATION_BUCKETS_S, latency_lowr_buckets=DURATION_BUCKETS_S, registry=theirs)
    ours = CollectorRegistry()
    ours.register(RequestMetrics())

    families = [
        {(family.name, family.type) for family in registry.collect() if not family.name.endswith(_BORN)}
        for registry in (theirs, ours)
    ]

    assert families[0] == families[1]
    assert exposed(theirs) == exposed(ours)


def _requests(app: FastAPI) -> RequestMetrics:
    metrics: RequestMetrics = app.state.front_door.records.metrics
    return metrics
