"""One process of the service on a port that stays its own, whoever serves there after a restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.alerts.rig.traffic import is_ready, request
from tests.processes import ROOT, free_port

READY_WITHIN_S = 60.0
# The service drains for at most five seconds, and gives what is in work three more.
STOP_WITHIN_S = 20.0


class Replica:
    """Started, stopped, killed, halted and started again.

    Parameters
    ----------
    folder: where its log goes.
    environment: its variables, beside those of this process.
    entry: a module whose `app` is served; otherwise `taskmanager serve`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], entry: Path | None = None) -> None:
        self.port = free_port()
        self.environment = dict(environment)
        self.log_file = folder / f"replica-{self.port}.log"
        self._entry = entry
        self._tree = ROOT
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, variables: Mapping[str, str] = MappingProxyType({}), *, tree: Path | None = None) -> float:
        """Start it, as the release in `tree` from now on where one is named; returns the second before the start."""
        self._tree = tree or self._tree
        self.environment |= dict(variables)
        command = [sys.executable, "-m", "taskmanager", "serve", "--port", str(self.port)]
        if self._entry is not None:
            command = [sys.executable, str(self._entry), str(self.port)]
        with self.log_file.open("ab") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(self._tree)} | self.environment,
                cwd=self._tree,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return began

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started yet"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_alive(self) -> None:
        """Until /livez answers."""
        self._wait(lambda: request(self.port, "GET", "/livez", timeout_s=1.0)[0] == 200, "alive")

    def wait_until_ready(self) -> None:
        """Until /readyz is 200."""
        self._wait(lambda: is_ready(self.port), "ready")

    def _wait(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            assert self.running, f"the replica ended with {self.process.returncode}:\n{self.log_file.read_text()}"
            try:
                if condition():  # type: ignore[operator]
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(
            f"the replica is not {what} after {READY_WITHIN_S} s:\n{self.log_file.read_text()[-3000:]}"
        )

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        if self.running:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait(STOP_WITHIN_S)

    def halt(self) -> None:
        """SIGSTOP: its port accepts, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.running:
            self.process.send_signal(signal.SIGCONT)
