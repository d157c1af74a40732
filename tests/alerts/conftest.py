"""One PostgreSQL for the live rounds of a worker: one that may be stopped, and so not that of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.alerts.rig import Laboratory, laboratory
from tests.monitoring_programs import monitoring_programs


@pytest.fixture(scope="session")
def shared() -> Iterator[Laboratory]:
    """The laboratory; without Prometheus and Alertmanager the test is skipped, or fails where all is required."""
    monitoring_programs()
    with laboratory() as made:
        yield made
