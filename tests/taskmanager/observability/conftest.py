"""Services whose faults a test reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.capture import Capture, capture_server

FAULTY_SERVICE = (sys.executable, "-m", "tests.taskmanager.observability.faulty_service", "{port}")


@pytest.fixture
def sentry() -> Iterator[Capture]:
    with capture_server() as capture:
        yield capture


@pytest.fixture
def faulty(serve: Callable[..., Service], migrated_database: Database, sentry: Capture) -> Service:
    service = serve(
        migrated_database,
        command=FAULTY_SERVICE,
        SENTRY_DSN=sentry.dsn,
        TASKMANAGER_COMMIT="c0ffee",
        TASKMANAGER_LOG_FORMAT="json",
    )
    service.wait_for("/tasks", 200)
    return service
