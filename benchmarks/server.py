"""A contestant's server as a child process that ends with us: its readiness, CPU time and memory."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from benchmarks.contestants import Launch
from benchmarks.failures import WrongAnswer
from stack.process import GuardedProcess

READY_WITHIN_S = 30.0
STOP_GRACE_S = 5.0


class Server:
    """A started server; leaving the `with` block stops it.

    Parameters
    ----------
    launch: how it is started.
    port: the port that `launch` was made for.
    log: where its standard output and error go, alike for all.
    """

    def __init__(self, launch: Launch, port: int, log: Path) -> None:
        self.port = port
        self.headers = launch.headers
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as output:
            self._process = GuardedProcess(
                launch.command,
                name=str(launch.command[0]),
                env=launch.environment,
                cwd=launch.cwd,
                grace=STOP_GRACE_S,
                output=output.fileno(),
            )
        # The guardian reports once the command is executed: this is the process's first moment.
        self.started = time.monotonic()

    def client(self) -> httpx.Client:
        """A client for checking answers; figures are never taken with it."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=10)

    def wait_until_ready(self) -> None:
        """Raises WrongAnswer where no list of tasks is to be had within half a minute."""
        deadline = time.monotonic() + READY_WITHIN_S
        last = "no answer"
        with self.client() as client:
            while time.monotonic() < deadline:
                self.require_running()
                try:
                    answer = client.get("/tasks", params={"limit": 1})
                except httpx.TransportError as error:
                    last = repr(error)
                else:
                    if answer.status_code == 200:
                        return
                    last = f"{answer.status_code} {answer.text[:300]}"
                time.sleep(0.02)
        raise WrongAnswer(f"not ready within {READY_WITHIN_S:.0f} s, last: {last}; its log ends: {self.log_end()}")

    def require_running(self) -> None:
        """Raises WrongAnswer where the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise WrongAnswer(f"the server ended by itself with {code}; its log ends: {self.log_end()}")

    def log_end(self) -> str:
        """The log's last lines."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 2000))
            return log.read().decode(errors="replace").strip()[-1000:] or "(empty)"

    def cpu_s(self) -> float:
        """User and system time of the process and its children so far, in seconds."""
        times = [process.cpu_times() for process in self._family()]
        return sum(time.user + time.system for time in times)

    def rss_bytes(self) -> int:
        """Resident memory of the process and its children."""
        return sum(process.memory_info().rss for process in self._family())

    def _family(self) -> list[psutil.Process]:
        process = psutil.Process(self._process.child_pid)
        return [process, *process.children(recursive=True)]

    def stop(self) -> None:
        """End it, and what it has started."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        # A request logs a line: the next contestant is not to share the disk with what is still unwritten.
        self._log.unlink(missing_ok=True)
