"""The compose file brought up from a checkout of its own, as somebody who has just cloned the repository would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from tests.containers.compose_programs import compose_v1, compose_v2
from tests.containers.containers import Container
from tests.containers.engine import Engine
from tests.processes import ROOT

Generation = Literal["1.29", "2"]
GENERATIONS: tuple[Generation, ...] = ("1.29", "2")

NAME = "taskmanager-tests"

# What compose makes of the files is asked of both. What its containers do then is not its doing: once is enough.
of_one_generation = pytest.mark.parametrize("project", GENERATIONS[:1], indirect=True)

# All but Grafana, for which nothing can stand in.
MONITORING = ("prometheus", "alertmanager", "postgres-exporter", "incidents", "backup")
EVERYTHING = ("db", "migrate", "app", *MONITORING)

# For the engine and compose where other tests keep the processors busy.
PATIENCE_S = 120.0

_MOUNTED = ("docker-compose.yml", "prometheus.yml", "docker", "ops", "docs/runbooks")
# Written for `make run`: none of it may reach a container.
_ENV_FILE = "DATABASE_URL=postgresql://user:password@localhost:5432/taskmanager\n"


def checkout(folder: Path) -> Path:
    """A folder with all that the compose files mount, and an .env as people have it. No secret comes along."""
    for name in _MOUNTED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        else:
            shutil.copy2(source, target)
    (folder / ".env").write_text(_ENV_FILE)
    return folder


class ComposeProject:
    """`docker-compose -p NAME -f FILES…` in a checkout."""

    def __init__(
        self,
        engine: Engine,
        generation: Generation,
        folder: Path,
        files: Sequence[str] = ("docker-compose.yml",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        program = compose_v1() if generation == "1.29" else compose_v2()
        self.engine = engine
        self.folder = folder
        self.command = [*program, "--project-name", NAME, *(f"--file={file}" for file in files)]
        self._environment = os.environ | engine.environment | (environment or {})

    def run(
        self, *arguments: str, check: bool = True, stdin: str | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end; fails with its words unless `check` is false."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """One command that goes on; both of its outputs are read from `stdout`."""
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *services: str) -> None:
        self.run("up", "-d", "--no-build", *services)

    def down(self) -> None:
        self.run("down", "--volumes", "--remove-orphans", check=False)

    def container(self, service: str, port: int | None = None) -> Container:
        identity = self.run("ps", "--all", "--quiet", service).stdout.split()
        assert len(identity) == 1, f"{service}: {identity}"
        return Container(self.engine, identity[0], port)

    def exec(
        self, service: str, *command: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.run("exec", "-T", service, *command, stdin=stdin, check=check)

    def inspect(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.engine.output("inspect", self.container(service).identity))
        return found[0]

    def wait_until_healthy(self, *services: str) -> None:
        for service in services:
            container = self.container(service)
            wait_until(lambda c=container: c.state["Health"]["Status"] == "healthy", f"{service} is healthy")  # type: ignore[misc]

    def end_process(self, service: str) -> None:
        """SIGKILL to the container's first process, by the machine, as a fault would. (`docker kill` is an order, after
        which the engine starts nothing again.)"""
        os.kill(int(self.container(service).state["Pid"]), signal.SIGKILL)


def wait_until(holds: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Ask again and again until it holds; what does not answer yet does not hold yet."""
    deadline = time.monotonic() + within_s
    last = ""
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (httpx.TransportError, ConnectionError, AssertionError, KeyError, ValueError) as error:
            last = f": {error!r}"
        time.sleep(0.2)
    raise AssertionError(f"not within {within_s} s: {what}{last}")
