"""One program of the monitoring as a guarded child, which can be started again after its end."""

import http.client
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from stack.errors import StackError
from stack.log_file import begin_log, bound_log, last_lines
from stack.ports import LOOPBACK
from stack.process import GuardedProcess, wait_until

STOP_GRACE_SECONDS = 5.0
READY_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 2.0


class Part:
    """Prometheus, Alertmanager or the incident receiver, listening on the loopback address.

    `name` is what people call it. `command` runs it, `prepare` writes what it reads before each start, `ready_path`
    answers without a 5xx once it works. What it says goes to the file `log`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        port: int,
        log: Path,
        *,
        ready_path: str,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.port = port
        self.log = log
        self._command = command
        self._ready_path = ready_path
        self._prepare = prepare
        self._process: GuardedProcess | None = None
        self._log_begin = 0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """The program's own process id; raises StackError unless it was started."""
        return self._started().child_pid

    @property
    def is_started(self) -> bool:
        """Whether it was, and was not stopped since; it may have ended by itself."""
        return self._process is not None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the program and does not wait for it; raises StackError when it cannot be executed."""
        if self.is_running:
            raise StackError(f"{self.name} is started already")
        self._prepare()
        self._log_begin = begin_log(self.log)
        with self.log.open("ab") as output:
            self._process = GuardedProcess(
                self._command, name=self.name, grace=STOP_GRACE_SECONDS, output=output.fileno()
            )

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> bool:
        """Whether it answers within `timeout` seconds; False as soon as it has ended."""
        return wait_until(lambda: self.poll() is not None or self.is_ready(), timeout) and self.poll() is None

    def is_ready(self) -> bool:
        # Not by urllib, which obeys proxy variables.
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=REQUEST_TIMEOUT_SECONDS)
        try:
            connection.request("GET", self._ready_path)
            # One that asks for a key works as well.
            return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def reload(self) -> None:
        """Writes its configuration anew and lets it read it: Prometheus and Alertmanager do so on SIGHUP."""
        self._prepare()
        os.kill(self.pid, signal.SIGHUP)

    def poll(self) -> int | None:
        """The exit code (128 + n for signal n) once it has ended by itself, else None."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Ends it in an orderly way; may be repeated, and start() works again afterwards."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def hasten(self) -> None:
        """Ends it at once; what waits for its end is stop()."""
        if self._process is not None:
            self._process.hasten()

    def kill(self) -> None:
        """SIGKILL to the program itself, as a fault would, and waits: poll() tells of it."""
        os.kill(self.pid, signal.SIGKILL)
        self._started().wait(STOP_GRACE_SECONDS)

    def bound_log(self) -> None:
        """Sets aside what it has said, once that is much."""
        if self.is_running and bound_log(self.log):
            self._log_begin = 0

    def last_words(self) -> str:
        """The last line that it has said since its start."""
        return last_lines(self.log, 1, self._log_begin)

    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise StackError(f"{self.name} is not running")
        return self._process
