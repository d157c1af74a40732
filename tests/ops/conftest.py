"""What the tests of the monitoring share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ops.scene import without_rules
from tests.ops.story import Story, play
from tests.prometheus_api import PrometheusApi


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A service that loses its database and gets it back, as boards and pages have shown it. Played once a worker."""
    return play(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="session")
def prometheus_without_rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusApi]:
    """A Prometheus that can be asked what it understands, and knows next to nothing."""
    with without_rules(tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus
