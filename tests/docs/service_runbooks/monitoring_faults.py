"""What goes wrong with what watches the service."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests import plain_http
from tests.docs.service_runbooks.files import ALERTMANAGER, PROMETHEUS, RULES, edit
from tests.docs.service_runbooks.stage import Stage, until


@contextmanager
def no_targets(stage: Stage) -> Iterator[None]:
    """Discovery finds nothing any more."""
    edit(stage.folder / PROMETHEUS, f'"127.0.0.1:{stage.ports.service}"', "")
    os.kill(stage.prometheus.pid, signal.SIGHUP)
    yield


@contextmanager
def metric_dropped(stage: Stage) -> Iterator[None]:
    """Somebody saves space in Prometheus."""
    job = "  - job_name: taskmanager\n"
    dropping = "    metric_relabel_configs:\n      - source_labels: [__name__]\n        regex: taskmanager_db_.*\n"
    edit(stage.folder / PROMETHEUS, job, f"{job}{dropping}        action: drop\n")
    os.kill(stage.prometheus.pid, signal.SIGHUP)
    yield


@contextmanager
def configuration_broken(stage: Stage) -> Iterator[None]:
    edit(stage.folder / PROMETHEUS, "scrape_configs:", "scrape_config:")
    os.kill(stage.prometheus.pid, signal.SIGHUP)
    yield


@contextmanager
def rule_on_many_series(stage: Stage) -> Iterator[None]:
    """A rule of the right form, which divides many series by many."""
    file = sorted((stage.folder / RULES).glob("*.yml"))[0]
    rules = yaml.safe_load(file.read_text(encoding="utf-8"))
    expression = "taskmanager_db_errors_total / on (instance) taskmanager_db_pool_connections > 0.1"
    rules["groups"].append({"name": "hurried", "rules": [{"alert": "SlowDatabase", "expr": expression}]})
    file.write_text(yaml.safe_dump(rules), encoding="utf-8")
    os.kill(stage.prometheus.pid, signal.SIGHUP)
    yield


@contextmanager
def alertmanager_killed(stage: Stage) -> Iterator[None]:
    """After the Watchdog has come once: the receiver misses only what it knows."""
    until(lambda: "watchdog_age_seconds NaN" not in _metrics_of_the_receiver(stage), "the Watchdog has come")
    stage.alertmanager.kill()
    yield


@contextmanager
def wrong_receiver(stage: Stage) -> Iterator[None]:
    edit(stage.folder / ALERTMANAGER, f"127.0.0.1:{stage.ports.incidents}/alerts", "127.0.0.1:1/alerts")
    os.kill(stage.alertmanager.pid, signal.SIGHUP)
    yield


@contextmanager
def receiver_killed(stage: Stage) -> Iterator[None]:
    stage.receiver.kill()
    yield


@contextmanager
def scheduler_killed(stage: Stage) -> Iterator[None]:
    stage.scheduler.kill()
    yield


def _metrics_of_the_receiver(stage: Stage) -> str:
    return plain_http.get(f"{stage.shell.variables['INCIDENTS']}/metrics", timeout=10).text
