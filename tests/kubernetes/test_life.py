"""The life of a deployment, without a cluster: the manifests' own variables and secrets, processes, a real PostgreSQL.

What is not here is what a cluster does: that it runs the job and the pods, asks the probes, keeps the Service's list.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.kubernetes.manifests import plain
from tests import plain_http
from tests.databases import Database
from tests.kubernetes.manifest_files import container, pod_specs
from tests.kubernetes.pods import Secrets, ServingPod, job_command
from tests.processes import run
from tests.warm_processes import run_module

PODS = pod_specs(plain())
SERVING = PODS["Deployment taskmanager"]
MIGRATING = PODS["Job taskmanager-migrate-RELEASE"]


def new_key(folder: Path) -> tuple[str, str]:
    """A key as a client has it, and the line of the file of keys that is stored of it."""
    file = folder / "key-lines"
    done = run_module("taskmanager", "keys", "new", "--file", str(file), env={}, cwd=folder)
    assert done.returncode == 0, done.stderr
    (key,) = [word for word in done.stdout.split() if word.startswith("tm_")]
    lines = file.read_text()
    file.unlink()
    return key, lines


@dataclass
class Cluster:
    """The secrets of one namespace, and the pods that were started."""

    folder: Path
    secrets: dict[str, dict[str, str]]
    stack: ExitStack = field(default_factory=ExitStack)
    mounted: list[Secrets] = field(default_factory=list)

    def _mount(self, pod: dict[str, Any]) -> Secrets:
        secrets = Secrets(self.folder / f"pod-{len(self.mounted)}", pod, self.secrets)
        self.mounted.append(secrets)
        return secrets

    def start(self, pod: dict[str, Any] = SERVING) -> ServingPod:
        secrets = self._mount(pod)
        return self.stack.enter_context(ServingPod(pod, secrets, secrets.folder / "log"))

    def migrate(self) -> tuple[int, str]:
        """Run the job once: its exit status, and what it said."""
        done = run(*job_command(MIGRATING), env=self._mount(MIGRATING).environment(MIGRATING), cwd=self.folder)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def cluster(empty_database: Database, tmp_path: Path) -> Iterator[Cluster]:
    key, lines = new_key(tmp_path)
    secrets = {
        "taskmanager-app": {"url": empty_database.app_url},
        "taskmanager-migrator": {"url": empty_database.migrator_url},
        "taskmanager-keys": {"keys": lines},
        "taskmanager-db-ca": {"ca.crt": "a certificate that an address on this machine needs none of\n"},
        "key of a client": {"key": key},
    }
    made = Cluster(tmp_path, secrets)
    with made.stack:
        yield made


def bearer(cluster: Cluster) -> dict[str, str]:
    return {"Authorization": f"Bearer {cluster.secrets['key of a client']['key']}"}


def test_pods_wait_alive_and_not_ready_until_the_job_has_migrated(cluster: Cluster) -> None:
    pods = [cluster.start(), cluster.start()]
    for pod in pods:
        pod.service.wait_for(container(SERVING)["startupProbe"]["httpGet"]["path"], 200)
        refused = pod.service.wait_for("/readyz", 503)
        assert refused.json()["checks"]["schema"]["state"] in {"never_migrated", "unreachable"}
        assert pod.service.get("/version").status_code == 200
    with watched(pods) as liveness:
        status, said = cluster.migrate()
        assert status == 0, said
        for pod in pods:
            pod.ready(within_s=15)

    assert set(liveness.answers) == {200}
    assert len(liveness.answers) > 10
    for pod in pods:
        assert pod.service.get("/tasks").status_code == 401
        assert pod.service.request("GET", "/tasks", headers=bearer(cluster)).status_code == 200
        assert pod.probe("livenessProbe") == pod.probe("readinessProbe") == 200
    # The job of the same release once more, a week later, say: it finds nothing to do.
    assert cluster.migrate()[0] == 0


@pytest.mark.parametrize("secret", ["taskmanager-app", "taskmanager-migrator"])
def test_a_job_that_cannot_read_its_secret_fails_for_good(cluster: Cluster, secret: str) -> None:
    cluster.secrets[secret] = {"url": "\n"}

    status, said = cluster.migrate()

    assert status == 78, said
    assert "is empty" in said


def test_a_key_that_is_replaced_in_its_secret_counts_without_a_restart(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.migrate()[0] == 0
    pod = cluster.start()
    pod.ready(within_s=15)
    key, lines = new_key(tmp_path)
    headers = {"Authorization": f"Bearer {key}"}
    assert pod.service.request("GET", "/tasks", headers=headers).status_code == 401

    cluster.mounted[-1].volumes["taskmanager-keys"].replace({"keys": lines})

    deadline = time.monotonic() + 15
    while pod.service.request("GET", "/tasks", headers=headers).status_code != 200:
        assert time.monotonic() < deadline, pod.service.log
        time.sleep(0.1)
    assert pod.service.request("GET", "/tasks", headers=bearer(cluster)).status_code == 401


class watched:  # noqa: N801  it reads as a statement
    """Asks every pod's /livez again and again, as the kubelet does, until the block ends."""

    def __init__(self, pods: list[ServingPod]) -> None:
        self._pods = pods
        self.answers: list[int | str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._end.wait(0.05):
            for pod in self._pods:
                try:
                    self.answers.append(pod.probe("livenessProbe"))
                except httpx.TransportError as error:
                    self.answers.append(repr(error))

    def __enter__(self) -> watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


# How long after a pod's deletion some node still sends to it, and how seldom anybody asks: less than once in the half
# second of silence after which a drained service ends.
LATE_S = 4.0
PAUSE_S = 0.8


def lost_while_a_pod_is_deleted(cluster: Cluster, pod_spec: dict[str, Any]) -> tuple[list[str], float]:
    """Requests on new connections, and on one that is kept, to a pod that is being deleted and that not everybody knows
    of yet: what was lost of them, and how long the pod took to end."""
    pod = cluster.start(pod_spec)
    pod.ready(within_s=15)
    lost: list[str] = []
    ended: list[float] = []
    kubelet = threading.Thread(target=lambda: ended.append(pod.delete()))
    with plain_http.Client(base_url=pod.service.url, headers=bearer(cluster), timeout=10) as kept:
        assert kept.get("/tasks").status_code == 200
        kubelet.start()
        began = time.monotonic()
        while time.monotonic() - began < LATE_S:
            for name, ask in (
                ("a kept connection", lambda: kept.get("/tasks")),
                ("a new one", lambda: plain_http.get(f"{pod.service.url}/tasks", headers=bearer(cluster), timeout=10)),
            ):
                try:
                    answer = ask()
                except httpx.TransportError as error:
                    lost.append(f"{name}: {error!r}")
                else:
                    if answer.status_code != 200:
                        lost.append(f"{name}: {answer.status_code}")
            time.sleep(PAUSE_S)
    kubelet.join()
    return lost, ended[0]


def test_no_request_is_lost_while_a_pod_is_deleted(cluster: Cluster) -> None:
    assert cluster.migrate()[0] == 0

    lost, took_s = lost_while_a_pod_is_deleted(cluster, SERVING)

    assert lost == []
    assert took_s < SERVING["terminationGracePeriodSeconds"] / 2


def test_without_the_hook_requests_are_lost_where_few_come(cluster: Cluster) -> None:
    """Why there is one: a drained service ends after half a second in which nobody asks."""
    assert cluster.migrate()[0] == 0
    bare = SERVING | {"containers": [{k: v for k, v in container(SERVING).items() if k != "lifecycle"}]}

    lost, _ = lost_while_a_pod_is_deleted(cluster, bare)

    assert lost
