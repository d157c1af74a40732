"""Starting the postmaster and waiting until it serves, through the failures that pass by themselves."""

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.log_file import begin_log, last_lines
from stack.ports import LOOPBACK, free_port, is_free
from stack.postgres.binaries import Binaries
from stack.postgres.data_folder import child_environment
from stack.postgres.place import Place
from stack.postgres.postmaster import read_pid_file
from stack.process import GuardedProcess

# After SIGKILL of a postmaster its children need about 2 s to leave the shared memory.
PATIENCE_SECONDS = 20.0
# Recovery after a crash replays what was written since the last checkpoint.
RECOVERY_SECONDS = 120.0
STOP_GRACE_SECONDS = 20.0
PORT_LOST = ("could not bind", "could not create any TCP/IP sockets")
PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid"')

NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(frozen=True)
class Launch:
    """What it takes to start a postmaster."""

    place: Place
    binaries: Binaries
    log: Path
    settings: Mapping[str, str]

    def run(self, preferred_port: int | None) -> tuple[GuardedProcess, int]:
        """The running postmaster and its port: the preferred one if it is free.

        Raises StackError with the log's last lines when it does not come up.
        """
        port = preferred_port if preferred_port is not None and is_free(preferred_port) else free_port()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            begin = begin_log(self.log)
            process = self._start(port)
            try:
                if self._becomes_ready(process):
                    return process, port
            except BaseException:
                process.stop()
                raise
            process.stop()
            words = last_lines(self.log, start=begin)
            if time.monotonic() > deadline or not _may_pass(words):
                raise StackError(f"PostgreSQL does not start in {self.place.pgdata}: {words} (log: {self.log})")
            if any(sign in words for sign in PORT_LOST):
                port = free_port()
            else:
                time.sleep(0.1)

    def _start(self, port: int) -> GuardedProcess:
        settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "port": str(port),
            "password_encryption": "scram-sha-256",
        } | dict(self.settings)
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with self.log.open("ab") as output:
            self.log.chmod(0o600)
            return GuardedProcess(
                [self.binaries.postgres, "-D", self.place.pgdata, *options],
                name="PostgreSQL",
                env=child_environment(),
                cwd=Path("/"),
                stop_signal=signal.SIGINT,
                hasten_signal=signal.SIGQUIT,
                grace=STOP_GRACE_SECONDS,
                run_as=self.place.run_as,
                output=output.fileno(),
            )

    def _becomes_ready(self, process: GuardedProcess) -> bool:
        """False when it ends instead; raises StackError when it does neither."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            told = read_pid_file(self.place.pgdata)
            if told is not None and told.pid == process.child_pid and told.is_ready:
                return True
            time.sleep(0.01)
        raise StackError(f"PostgreSQL is not ready after {RECOVERY_SECONDS:.0f} s: {last_lines(self.log)}")


def _may_pass(words: str) -> bool:
    return any(sign in words for sign in (*PORT_LOST, *PASSING))
