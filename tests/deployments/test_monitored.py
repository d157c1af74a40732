"""Deployments under the eyes of Prometheus and the incident receiver: whom it watches, and what is told of them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.deploy.haproxy_process import find_haproxy
from stack.errors import StackError
from stack.process import wait_until
from tests import plain_http
from tests.deployments.rig import PATIENCE_S, Rig
from tests.deployments.trees import NEW_TASKS_FAIL, Releases
from tests.monitoring_programs import monitoring_programs
from tests.processes import free_port, lacking
from tests.prometheus_api import PrometheusApi

pytestmark = pytest.mark.timeout(600)


class Watched:
    """Replicas with `--monitoring`, and where each part of that listens."""

    def __init__(self, folder: Path) -> None:
        ports = {name: free_port() for name in ("prometheus", "alertmanager", "incidents")}
        options = [word for name, port in ports.items() for word in (f"--{name}-port", f"{port}")]
        self.rig = Rig(folder, Releases(folder / "releases"), options=("--monitoring", *options))
        self.prometheus = PrometheusApi(f"http://127.0.0.1:{ports['prometheus']}")
        self._receiver = f"http://127.0.0.1:{ports['incidents']}"

    def serving(self) -> set[str]:
        """The addresses of the replicas that get requests."""
        return {f"{slot['host']}:{slot['port']}" for slot in self.rig.state["slots"] if slot["stand"] == "serving"}

    def scraped(self) -> set[str]:
        """The addresses of those that Prometheus finds."""
        series = self.prometheus.now('up{job="taskmanager"} == 1')
        return {each["metric"]["instance"] for each in series}

    def watched(self) -> set[str]:
        """Those that it asks, whether they answer or not."""
        targets = self.prometheus.ask("targets", state="active")["data"]["activeTargets"]
        return {each["labels"]["instance"] for each in targets if each["labels"]["job"] == "taskmanager"}

    def told(self) -> list[dict[str, Any]]:
        """The receiver's list of deployments, the newest first."""
        found: list[dict[str, Any]] = plain_http.get(f"{self._receiver}/deployments", timeout=10).json()
        return found

    def value(self, expression: str) -> float | None:
        """Of a metric, as Prometheus has it."""
        series = self.prometheus.now(expression)
        return float(series[0]["value"][1]) if series else None


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    monitoring_programs()
    try:
        find_haproxy()
    except StackError:
        lacking("HAProxy", "apt-get install haproxy")
    folder = Path(tempfile.mkdtemp(prefix="watched-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    try:
        watched = Watched(folder)
        with watched.rig:
            yield watched
        watched.prometheus.close()
    finally:
        shutil.rmtree(folder)


def become(holds: Callable[[], bool], watched: Watched) -> None:
    assert wait_until(holds, PATIENCE_S, pause=0.2), (watched.serving(), watched.scraped(), watched.rig.said)


def test_prometheus_watches_those_that_serve_and_calls_nobody_down(watched: Watched) -> None:
    rig = watched.rig
    become(lambda: watched.scraped() == watched.serving() and len(watched.scraped()) == 2, watched)
    before, begun = watched.serving(), time.time()

    done = rig.order("deploy", rig.releases.release("watched").commit)

    assert done.record["result"] == "succeeded", done
    assert watched.serving() != before
    become(lambda: watched.scraped() == watched.watched() == watched.serving(), watched)
    assert not {"ReplicaDown", "ServiceDown"} & watched.prometheus.fired(begun).keys()


def test_the_receiver_and_prometheus_are_told_how_it_went(watched: Watched) -> None:
    rig, served = watched.rig, watched.rig.version()
    known, ratio = len(watched.told()), "taskmanager_deployment_success_ratio"
    bad = rig.releases.release("answers 500", **NEW_TASKS_FAIL)

    done = rig.order("deploy", bad.commit)

    assert done.record["result"] == "rolled_back", done
    assert done.record["evidence"]
    told = watched.told()
    assert len(told) == known + 1
    facts = told[0]["facts"]
    assert (facts["result"], facts["commit"], facts["previous"]) == ("rolled_back", bad.commit, served)
    assert "POST /tasks answered 500" in f"{told[0]}"
    assert not any(line in f"{told[0]}" for line in done.record["evidence"]), "lines of logs stay on the machine"
    become(lambda: watched.value('taskmanager_deployments_total{result="rolled_back"}') == 1, watched)
    assert 0 < (watched.value(ratio) or 0) < 1
    become(lambda: watched.scraped() == watched.watched() == watched.serving(), watched)
    assert rig.version() == served
