"""Containers as the tests meet them: started, asked over HTTP, read, stopped, and gone in the end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests import plain_http
from tests.containers.engine import Engine


class Container:
    """A container that was started; `port` is the one that it listens on, if it listens."""

    def __init__(self, engine: Engine, identity: str, port: int | None = 8000) -> None:
        self.engine = engine
        self.identity = identity
        self.port = port

    @property
    def url(self) -> str:
        """Where its port is published, asked for each time: after a restart it is another one."""
        published = self.engine.output("port", self.identity, f"{self.port}/tcp").splitlines()[0]
        return f"http://127.0.0.1:{published.rpartition(':')[2]}"

    @property
    def logs(self) -> str:
        done = self.engine.run("logs", self.identity)
        return done.stdout + done.stderr

    @property
    def state(self) -> dict[str, Any]:
        """`State` of `docker inspect`: Status, Running, ExitCode, Pid, Health …"""
        state: dict[str, Any] = json.loads(self.engine.output("inspect", "--format", "{{json .State}}", self.identity))
        return state

    def exec(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.engine.run("exec", self.identity, *command, check=check)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return plain_http.get(self.url + path, timeout=10, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return plain_http.post(self.url + path, timeout=10, **options)

    def wait_for(self, path: str, status: int, within_s: float = 60, **options: Any) -> httpx.Response:
        """Ask until the answer has `status`, and return it."""
        deadline = time.monotonic() + within_s
        last = "no answer"
        while time.monotonic() < deadline:
            assert self.state["Status"] in {"running", "restarting"}, self.logs
            try:
                answer = self.get(path, **options)
            except (httpx.TransportError, IndexError) as error:
                last = repr(error)
            else:
                if answer.status_code == status:
                    return answer
                last = f"{answer.status_code} {answer.text}"
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer {status} within {within_s} s, last: {last}\n{self.logs}")

    def wait_for_health(self, wanted: str, said: str, within_s: float = 60) -> None:
        """Wait until HEALTHCHECK's verdict is `wanted`, and its last look said `said`."""
        deadline = time.monotonic() + within_s
        while True:
            state = self.state
            assert state["Running"], self.logs
            health = state["Health"]
            if health["Status"] == wanted and health["Log"] and health["Log"][-1]["Output"].strip() == said:
                return
            assert time.monotonic() < deadline, f"{health}\n{self.logs}"
            time.sleep(0.1)

    def wait_for_end(self, within_s: float = 60) -> int:
        """Wait until its process has ended, and return the exit status."""
        return int(self.engine.run("wait", self.identity, timeout=within_s).stdout)

    def stop(self) -> None:
        """`docker stop`: SIGTERM, and SIGKILL for what has not ended after 10 s, which makes its exit status 137."""
        self.engine.run("stop", "--time", "10", self.identity)


class Containers:
    """What one test starts, on one network, removed with `remove`."""

    def __init__(self, engine: Engine, network: str) -> None:
        self._engine = engine
        self._network = network
        self._created: list[str] = []

    def create(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        port: int | None = 8000,
    ) -> Container:
        """`docker create OPTIONS IMAGE COMMAND…`, `port` published on a free one of loopback."""
        published = ("--publish", f"127.0.0.1::{port}") if port else ()
        network = () if "--network" in options else ("--network", self._network)
        identity = self._engine.output(
            "create", *network, *published, *_variables(environment), *options, image, *command
        )
        self._created.append(identity)
        return Container(self._engine, identity, port)

    def start(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        port: int | None = 8000,
    ) -> Container:
        """Create a container and start it."""
        container = self.create(image, *command, environment=environment, options=options, port=port)
        self.start_at_once(container)
        return container

    def start_at_once(self, *containers: Container) -> None:
        self._engine.run("start", *(container.identity for container in containers))

    def run(
        self, image: str, *command: str, environment: Mapping[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """`docker run --rm …` to its end; the exit status is not judged."""
        return self._engine.run(
            *("run", "--rm", "--network", self._network, *_variables(environment), *options, image, *command),
            check=False,
            timeout=120,
        )

    def remove(self) -> None:
        if self._created:
            self._engine.run("rm", "--force", "--volumes", *self._created)


def _variables(environment: Mapping[str, str] | None) -> list[str]:
    return [part for name, value in (environment or {}).items() for part in ("--env", f"{name}={value}")]
