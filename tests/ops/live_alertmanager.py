"""A real Alertmanager with a configuration of the test's, and alerts as Prometheus posts them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stack.monitoring import Part
from tests import plain_http
from tests.monitoring_programs import monitoring_programs, tool
from tests.processes import free_port

ANNOTATIONS = {
    "summary": "No replica of taskmanager answers & nobody knows <why>.",
    "description": "Users get no answer at all.",
    "runbook_url": "docs/runbooks/service_down.md",
    "dashboard_url": "/d/taskmanager-incident",
}


class LiveAlertmanager:
    """A running Alertmanager at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, *alerts: Mapping[str, str], resolved: bool = False, began: datetime | None = None) -> None:
        """Alerts by their labels, each with ANNOTATIONS; firing for five minutes, or over since a moment ago."""
        now = datetime.now(UTC)
        ends = now - timedelta(seconds=1) if resolved else now + timedelta(minutes=5)
        begins = began or now - timedelta(seconds=10)
        body = [
            {
                "labels": dict(labels),
                "annotations": ANNOTATIONS,
                "startsAt": begins.isoformat(),
                "endsAt": ends.isoformat(),
                "generatorURL": "http://prometheus.example/graph?g0.expr=secret_of_the_expression",
            }
            for labels in alerts
        ]
        plain_http.post(f"{self.url}/api/v2/alerts", json=body, timeout=30).raise_for_status()

    def alerts(self) -> list[dict[str, Any]]:
        answer = plain_http.get(f"{self.url}/api/v2/alerts", timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@contextmanager
def live_alertmanager(folder: Path, configuration: str) -> Iterator[LiveAlertmanager]:
    """With its data and the configuration in `folder`."""
    file = folder / "alertmanager.yml"
    file.write_text(configuration)
    port = free_port()
    part = Part(
        "Alertmanager",
        [
            monitoring_programs().alertmanager,
            f"--config.file={file}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        port,
        folder / "alertmanager.log",
        ready_path="/-/ready",
    )
    part.start()
    try:
        assert part.wait_until_ready(), part.log.read_text()
        yield LiveAlertmanager(part.url)
    finally:
        part.stop()


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run amtool to its end; its exit status is not judged."""
    return subprocess.run([tool("amtool"), *arguments], capture_output=True, text=True, timeout=60, check=False)
