"""HAProxy as a guarded child: written anew from the slots at each start, and started again where it ends."""

import shutil
import signal
from pathlib import Path

from stack.deploy.haproxy import Haproxy, by_socket
from stack.deploy.haproxy_configuration import SOCKET, render
from stack.deploy.slots import Slots
from stack.errors import StackError
from stack.folders import prepare_folder
from stack.log_file import begin_log, bound_log, last_lines
from stack.process import GuardedProcess, describe_end, wait_until

PLACES = ("haproxy", "/usr/sbin/haproxy", "/opt/homebrew/sbin/haproxy", "/usr/local/sbin/haproxy")
START_SECONDS = 10.0
# It lets the requests in work be done, and then ends by itself; hard-stop-after is less than this.
STOP_GRACE_SECONDS = 12.0


def find_haproxy() -> Path:
    """Raises StackError where this machine has none."""
    for place in PLACES:
        if found := shutil.which(place):
            return Path(found)
    raise StackError(
        "replicas need HAProxy, which holds the public port while they are replaced, and there is none: "
        "apt-get install haproxy (macOS: brew install haproxy), or run without --replicas"
    )


class HaproxyProcess:
    """Holds `bind` (HOST:PORT) from start() on; `folder` gets its configuration, its socket and its log."""

    name = "HAProxy"

    def __init__(self, folder: Path, bind: str, slots: Slots, program: Path) -> None:
        self._folder = folder.absolute()
        self._bind = bind
        self._slots = slots
        self._program = program
        self._process: GuardedProcess | None = None
        self._log = self._folder / "haproxy.log"
        self._log_begin = 0

    @property
    def socket(self) -> Path:
        return self._folder / SOCKET

    def start(self) -> None:
        """Returns once it answers. Raises StackError."""
        prepare_folder(self._folder)
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(render(self._bind, self._slots), encoding="utf-8")
        self._log_begin = begin_log(self._log)
        with self._log.open("ab") as output:
            self._process = GuardedProcess(
                # In the foreground, and in its folder: its socket's path is short wherever that lies.
                [self._program, "-db", "-f", configuration.name],
                name=self.name,
                cwd=self._folder,
                stop_signal=signal.SIGUSR1,
                grace=STOP_GRACE_SECONDS,
                output=output.fileno(),
            )
        api = Haproxy(by_socket(self.socket))
        wait_until(lambda: self.poll() is not None or api.answers(), START_SECONDS)
        if self.poll() is not None or not api.answers():
            raise StackError(f"HAProxy did not start: {last_lines(self._log, 4, self._log_begin)}")

    @property
    def pid(self) -> int | None:
        """HAProxy's own process id, None while it is not started."""
        return None if self._process is None else self._process.child_pid

    def poll(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def revive(self) -> str:
        """Starts it again where it has ended; how it ended, empty where it runs. Raises StackError."""
        code = self.poll()
        if code is None:
            return ""
        words = last_lines(self._log, 1, self._log_begin)
        self.start()
        return f"{describe_end(code)}{f': {words}' if words else ''}"

    def bound_log(self) -> None:
        if bound_log(self._log):
            self._log_begin = 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def hasten(self) -> None:
        if self._process is not None:
            self._process.hasten()
