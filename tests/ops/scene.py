"""A service under load on a PostgreSQL of its own, watched by the whole monitoring: to be broken, and mended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.monitoring import Monitoring, Part, Plan, Ports
from stack.postgres import Cluster, create_database, temporary_cluster
from tests import plain_http
from tests.alerts.rig.backup_scheduler import BackupScheduler
from tests.monitoring_programs import monitoring_programs
from tests.ops.promtool import promtool
from tests.processes import ROOT, Service, free_port, run_alembic
from tests.prometheus_api import PrometheusApi

CONSOLES = ROOT / "ops" / "prometheus" / "consoles"

# Between two requests of the load, which is there to be seen and not to measure.
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Scene:
    """What a test breaks, and what it looks at."""

    cluster: Cluster
    service: Service
    monitoring: Monitoring
    prometheus: PrometheusApi

    @property
    def receiver_url(self) -> str:
        return self.monitoring.receiver.url


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Everything started, migrated and under load."""
    programs = monitoring_programs()
    with ExitStack() as running:
        cluster = running.enter_context(temporary_cluster())
        database = create_database(cluster, "taskmanager")
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": database.migrator_url})
        settings = {"DATABASE_URL": database.app_url, "TASKMANAGER_DISK_FOLDER": str(folder)}
        service = running.enter_context(Service(settings, folder))
        service.wait_for("/readyz", 200)
        own = {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}
        backups = BackupScheduler(folder, own, cluster.superuser_url())
        running.callback(backups.kill)
        backups.start()
        backups.wait_until_verified()
        ports = Ports(free_port(), free_port(), free_port())
        plan = Plan([f"127.0.0.1:{service.port}"], programs, ports, backup=backups.address)
        monitoring = running.enter_context(Monitoring(folder, plan))
        running.enter_context(_load(service))
        prometheus = PrometheusApi(monitoring.prometheus.url)
        running.callback(prometheus.close)
        yield Scene(cluster, service, monitoring, prometheus)


@contextmanager
def _load(service: Service) -> Iterator[None]:
    """Requests of every kind until the block ends, good ones and bad ones; what comes of them is not looked at."""
    ending = threading.Event()

    def ask(client: httpx.Client, method: str, path: str, body: object = None) -> httpx.Response | None:
        ending.wait(_PAUSE_S)
        try:
            return client.request(method, path, json=body)
        except httpx.TransportError:
            return None

    def run() -> None:
        with plain_http.Client(base_url=service.url, timeout=10) as client:
            while not ending.is_set():
                made = ask(client, "POST", "/tasks", {"title": "one"})
                number = made.json()["id"] if made is not None and made.status_code == 201 else 1
                ask(client, "GET", "/tasks")
                ask(client, "GET", f"/tasks/{number}")
                ask(client, "PUT", f"/tasks/{number}", {"title": "two"})
                ask(client, "POST", "/tasks", {"name": "no title"})
                ask(client, "DELETE", f"/tasks/{number}")
                ask(client, "GET", "/nothing")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(timeout=30)


_WITHOUT_RULES = """\
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: taskmanager
    static_configs:
      - targets: ["127.0.0.1:1"]
        labels: {service: taskmanager, env: development}
"""


@contextmanager
def without_rules(folder: Path, past: str = "") -> Iterator[PrometheusApi]:
    """A Prometheus with one target, at which nobody answers, and no rules.

    Parameters
    ----------
    past: samples with their times that it remembers, as OpenMetrics.
    """
    programs = monitoring_programs()
    port = free_port()
    if past:
        (folder / "past.txt").write_text(past)
        made = promtool("tsdb", "create-blocks-from", "openmetrics", f"{folder / 'past.txt'}", f"{folder / 'data'}")
        assert made.returncode == 0, made.stdout + made.stderr
    (folder / "prometheus.yml").write_text(_WITHOUT_RULES)
    command = (
        programs.prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.console.templates={CONSOLES}",
        f"--web.console.libraries={CONSOLES}",
    )
    part = Part("Prometheus", command, port, folder / "prometheus.log", ready_path="/-/ready")
    part.start()
    prometheus = PrometheusApi(part.url)
    try:
        assert part.wait_until_ready(), part.last_words()
        yield prometheus
    finally:
        prometheus.close()
        part.stop()
