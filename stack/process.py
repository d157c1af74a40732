"""Child processes that end with the launcher, whatever ends the launcher."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.errors import StackError
from stack.identity import Identity

GUARDIAN = Path(__file__).with_name("guardian.py")
# The guardian needs a moment after its own deadline to collect the child.
GUARDIAN_MARGIN = 5.0


class GuardedProcess:
    """A running child under a guardian (see guardian.py); starting it is constructing it.

    `pid` is the guardian's, `child_pid` the command's own. `grace` is in seconds. `output` is a descriptor
    for the child's standard output and error; None lets it inherit the launcher's.

    Raises StackError when the command cannot be executed.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        hasten_signal: signal.Signals = signal.SIGKILL,
        grace: float = 15.0,
        run_as: Identity | None = None,
        output: int | None = None,
    ) -> None:
        self.name = name
        self._stop_signal = stop_signal
        self._grace = grace
        options = ["--stop-signal", stop_signal.name[3:], "--hasten-signal", hasten_signal.name[3:]]
        options += ["--grace", str(grace)]
        if run_as is not None:
            options += ["--user", str(run_as.uid), "--group", str(run_as.gid)]
        if cwd is not None:
            options += ["--cwd", str(cwd)]
        report, report_end = os.pipe()
        try:
            self._guardian = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    GUARDIAN,
                    *options,
                    "--report-fd",
                    str(report_end),
                    "--",
                    *command,
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=env,
                pass_fds=(report_end,),
                start_new_session=True,
            )
        finally:
            os.close(report_end)
        self.child_pid = self._read_report(report)

    def _read_report(self, report: int) -> int:
        """The guardian's end of the pipe closes when the command is executed, or could not be."""
        with os.fdopen(report) as stream:
            told = {kind: text for kind, _, text in (line.rstrip().partition(" ") for line in stream)}
        if "error" in told or "pid" not in told:
            self._guardian.wait()
            self._release()
            raise StackError(f"{self.name} could not be started: {told.get('error', 'its guardian failed')}")
        return int(told["pid"])

    @property
    def pid(self) -> int:
        return self._guardian.pid

    def poll(self) -> int | None:
        """The exit code once the child has ended (128 + n for signal n; -n if the guardian got signal n)."""
        code = self._guardian.poll()
        if code is not None:
            self._release()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Waits up to `timeout` seconds; raises subprocess.TimeoutExpired."""
        code = self._guardian.wait(timeout)
        self._release()
        return code

    def stop(self) -> int:
        """Sends the stop signal and waits until the child has ended; returns its exit code."""
        self._guardian.terminate()
        try:
            self._guardian.wait(self._grace + GUARDIAN_MARGIN)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        if self._guardian.returncode < 0:
            # Killed itself. On Linux the kernel has sent its child the stop signal, elsewhere nobody has.
            end_by_pid(self.child_pid, self._stop_signal, self._grace)
        self._release()
        return self._guardian.returncode

    def hasten(self) -> None:
        """Ends the child without waiting for it to finish what it is doing."""
        self._guardian.send_signal(signal.SIGUSR1)

    def _release(self) -> None:
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def is_running(pid: int) -> bool:
    """Whether a process of this id is there and not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # The state follows the command's name, which stands in parentheses and may hold anything (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self/stat").exists()


def wait_until(condition: Callable[[], bool], timeout: float, pause: float = 0.02) -> bool:
    """Asks every `pause` seconds, for up to `timeout` seconds; returns the last answer."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def end_by_pid(pid: int, number: signal.Signals, grace: float) -> None:
    """Ends a process that is not this process's child: the signal, `grace` seconds, then SIGKILL."""
    for attempt in (number, signal.SIGKILL):
        if not is_running(pid):
            return
        os.kill(pid, attempt)
        if wait_until(lambda: not is_running(pid), grace):
            return


def describe_end(code: int) -> str:
    """`code 3`, or `signal 9 (SIGKILL)`, from what poll() returned."""
    number = -code if code < 0 else code - 128
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"code {code}"
