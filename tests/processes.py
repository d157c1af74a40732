"""The product's commands as real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx
import pytest

from tests import plain_http
from tests.warm_processes import run_module

ROOT = Path(__file__).resolve().parent.parent

# An answer that waits for a database which stays silent does not come within it, and one that a busy machine holds up
# does. A request of these tests gives up after ten seconds.
NOT_HELD_S = 8.0

# Set it in the environment and a test that lacks something fails instead of skipping.
REQUIRE_ALL = "REQUIRE_ALL"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*command: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is kept, its exit status is not judged."""
    return subprocess.run(
        command, env=os.environ | (env or {}), cwd=cwd, capture_output=True, text=True, timeout=90, check=False
    )


@contextmanager
def running(
    *command: str, env: Mapping[str, str], cwd: Path, stderr: int = subprocess.STDOUT
) -> Iterator[subprocess.Popen[str]]:
    """A command as a process, killed at the end; what it says on stdout and, unless told otherwise, stderr is kept."""
    process = subprocess.Popen(command, env=os.environ | env, cwd=cwd, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def run_alembic(*arguments: str, env: Mapping[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `alembic …` from the repository's root, and fail where it fails."""
    done = run_module("alembic", *arguments, env=env, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def lacking(what: str, how_to_get_it: str) -> NoReturn:
    """Skip the test that needs `what`, or fail it where everything was asked for."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{REQUIRE_ALL}=1, and {what} is lacking; {how_to_get_it}")
    pytest.skip(f"{what} is lacking; {how_to_get_it}")


class Service:
    """A served application as a process of its own, ended at the end of the `with` block.

    Parameters
    ----------
    environment: its variables, beside those of this process.
    folder: where its log goes.
    command: its arguments, in which `{port}` stands for the port; otherwise `taskmanager serve`.
    cwd: its working directory.
    port: where it listens; one that is free unless it is given.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        command: tuple[str, ...] | None = None,
        cwd: Path = ROOT,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / f"service-{self.port}.log"
        arguments = command or (sys.executable, "-m", "taskmanager", "serve", "--port", "{port}")
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [argument.replace("{port}", str(self.port)) for argument in arguments],
                env=os.environ | environment,
                cwd=cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return plain_http.request(method, self.url + path, timeout=10, **options)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def wait_for(self, path: str, status: int, within_s: float = 30.0) -> httpx.Response:
        """Ask until the answer has `status`, and return it."""
        deadline = time.monotonic() + within_s
        last = "no answer"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"exited with {self.process.returncode}:\n{self.log}"
            try:
                response = self.get(path)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if response.status_code == status:
                    return response
                last = f"{response.status_code} {response.text}"
            time.sleep(0.02)
        raise AssertionError(f"{path} did not answer {status} within {within_s} s, last: {last}\n{self.log}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
