"""What people write, and who they are, leaves by none of the ways by which the service is watched: with all of them on,
through every route and three faults, their bytes are searched."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack.monitoring import Monitoring, Plan, Ports
from tests import plain_http
from tests.databases import Database
from tests.hostile.test_personal_data import FAULTS, SENT_ENCODED, raw_requests, requests_of_every_kind
from tests.hostile.wire import CANARY
from tests.monitoring_programs import monitoring_programs
from tests.processes import Service, free_port, run
from tests.taskmanager.observability.capture import Capture, capture_server
from tests.taskmanager.postgres_proxy import PostgresProxy

Serve = Callable[..., Service]

CANARIES = (CANARY, *SENT_ENCODED, "203.0.113.7")


@dataclass
class Watched:
    """A service that everything watches, before a database that can be cut off."""

    service: Service
    key: str
    database: Database
    proxy: PostgresProxy
    monitoring: Monitoring
    sentry: Capture
    webhook: Capture
    traces: Capture

    def requests(self) -> set[int]:
        statuses = {response.status_code for response in requests_of_every_kind(self.service.url, self.key)}
        raw_requests(self.service)
        return statuses

    def codes_of_incidents(self) -> set[str]:
        answer = plain_http.get(f"{self.monitoring.receiver.url}/incidents?state=all", timeout=20)
        return {incident["code"] for incident in answer.json()}

    def wait_for_incident(self, code: str, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while code not in self.codes_of_incidents():
            assert time.monotonic() < deadline, self.codes_of_incidents()
            time.sleep(0.2)

    def wait_for_scrapes(self, within_s: float = 60.0) -> None:
        """A counter that Prometheus meets after its first errors seems to have been born with them."""
        deadline = time.monotonic() + within_s
        query = {"query": 'count_over_time(taskmanager_db_errors_total{kind="other"}[1m]) > 2'}
        address = f"{self.monitoring.prometheus.url}/api/v1/query"
        while not plain_http.get(address, params=query).json()["data"]["result"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def post_mortem(self) -> str:
        done = run(
            sys.executable, "-m", "taskmanager", "incidents", "postmortem", "1", "--lang", "en",
            "--url", self.monitoring.receiver.url, "--prometheus", self.monitoring.prometheus.url,
            "--alertmanager", self.monitoring.alertmanager.url, "--service", self.service.url,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def ways_out(self) -> Iterator[tuple[str, str, str]]:
        """Each way by which something leaves: its name, what surely stands in it, and all that came out."""
        prometheus, alertmanager = self.monitoring.prometheus.url, self.monitoring.alertmanager.url
        yield "the log", '"event": "request"', self.service.log
        headers = {"Authorization": f"Bearer {self.key}"}
        yield "metrics", "http_requests_total", plain_http.get(f"{self.service.url}/metrics", headers=headers).text
        series = plain_http.get(f"{prometheus}/api/v1/series", params={"match[]": '{__name__=~".+"}'}, timeout=60).text
        yield "series", "taskmanager_db_errors_total", series
        yield "alerts", "DatabaseError", plain_http.get(f"{prometheus}/api/v1/rules", timeout=60).text
        yield "Alertmanager", "Watchdog", plain_http.get(f"{alertmanager}/api/v2/alerts", timeout=60).text
        yield "the webhook", "DatabaseError", self.webhook.everything
        yield "the journal", "database_error", self.monitoring.journal.read_text()
        yield "the post-mortem", "database_error", self.post_mortem()
        yield "Sentry", "exception", self.sentry.everything
        yield "traces", "http.route", self.traces.everything
        for part in self.monitoring.parts:
            yield f"the log of {part.name}", "", part.log.read_text(errors="replace")


@pytest.fixture
def watched(migrated_database: Database, serve: Serve, tmp_path: Path) -> Iterator[Watched]:
    made = json.loads(run(sys.executable, "-m", "taskmanager", "keys", "new", "--json", *(
        word for scope in ("tasks:read", "tasks:write", "metrics:read") for word in ("--scope", scope)
    )).stdout)  # fmt: skip
    key_file = tmp_path / "metrics_key"
    key_file.write_text(made["key"])
    with PostgresProxy(migrated_database) as proxy, captures() as (sentry, webhook, traces):
        service = serve(
            proxy.database,
            TASKMANAGER_AUTH="api_key",
            TASKMANAGER_KEYS=made["line"],
            TASKMANAGER_LOG_FORMAT="json",
            TASKMANAGER_LOG_LEVEL="debug",
            SENTRY_DSN=sentry.dsn,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{traces.port}",
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        service.wait_for("/readyz", 200)
        plan = Plan(
            targets=[f"127.0.0.1:{service.port}"],
            programs=monitoring_programs(),
            ports=Ports(free_port(), free_port(), free_port()),
            metrics_key_file=key_file,
            variables={"ALERT_WEBHOOK_URL": f"http://127.0.0.1:{webhook.port}/hook"},
        )
        with Monitoring(tmp_path, plan) as monitoring:
            yield Watched(service, made["key"], migrated_database, proxy, monitoring, sentry, webhook, traces)


@contextmanager
def captures() -> Iterator[tuple[Capture, Capture, Capture]]:
    with capture_server() as sentry, capture_server() as webhook, capture_server() as traces:
        yield sentry, webhook, traces


def test_by_no_way_out_and_through_no_fault(watched: Watched) -> None:
    watched.wait_for_scrapes()
    assert watched.requests() >= {200, 201, 400, 404, 422}

    watched.database.execute(FAULTS["a trigger that quotes a row"])
    assert 500 in watched.requests()
    watched.wait_for_incident("database_error")

    watched.database.execute("DROP TRIGGER quote ON tasks")
    watched.proxy.cut()
    assert 503 in watched.requests()
    watched.wait_for_incident("unreachable")
    watched.proxy.restore()
    watched.service.wait_for("/readyz", 200)

    watched.database.execute(FAULTS["no column"])
    assert 503 in watched.requests()
    watched.wait_for_incident("statement_broken")

    watched.sentry.wait_for_events(1)
    for name, sure, text in watched.ways_out():
        assert sure in text, f"{name} is empty: {text[:500]}"
        for canary in CANARIES:
            lines = [line for line in text.splitlines() if canary in line.lower()]
            assert not lines, (name, lines[:3])
        secret = watched.key.split("_", 2)[2]
        assert secret not in text, name
