"""A running postmaster seen from outside: its pid file, and taking over one that was left behind."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.errors import StackError
from stack.process import end_by_pid, is_running

PID_FILE = "postmaster.pid"
# Long enough for a postmaster whose launcher has just been killed to have received its stop signal.
SETTLE_SECONDS = 0.5
PATIENCE_SECONDS = 20.0
STOP_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class PidFile:
    """postmaster.pid, as PostgreSQL's pidfile.h lays it out; port and status are missing while it begins."""

    pid: int
    port: int | None
    status: str

    @property
    def is_ready(self) -> bool:
        return self.port is not None and self.status == "ready"


def read_pid_file(pgdata: Path) -> PidFile | None:
    try:
        lines = (pgdata / PID_FILE).read_text().splitlines()
        port = int(lines[3]) if len(lines) > 3 else None
        return PidFile(int(lines[0]), port, lines[7].strip() if len(lines) > 7 else "")
    except (OSError, ValueError, IndexError):
        return None


class LeftPostmaster:
    """A postmaster that is not our child, taken over: looked at and stopped by its pid."""

    name = "PostgreSQL"

    def __init__(self, pid: int) -> None:
        self.child_pid = pid

    def poll(self) -> int | None:
        return None if is_running(self.child_pid) else 0

    def stop(self) -> int:
        end_by_pid(self.child_pid, signal.SIGINT, STOP_GRACE_SECONDS)
        return 0

    def hasten(self) -> None:
        if is_running(self.child_pid):
            os.kill(self.child_pid, signal.SIGQUIT)


def find_left_postmaster(pgdata: Path, password: str) -> LeftPostmaster | None:
    """A postmaster that still serves this data folder and accepts our password; None when there is none.

    One that is about to stop is waited for. Raises StackError when the pid file names a process that is alive
    and neither ends nor answers, or is no PostgreSQL of this folder at all.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = read_pid_file(pgdata)
        if found is None or not is_running(found.pid):
            return None
        _require_postmaster(found.pid, pgdata)
        if _answers(found, pgdata, password):
            time.sleep(SETTLE_SECONDS)
            if read_pid_file(pgdata) == found and _answers(found, pgdata, password):
                return LeftPostmaster(found.pid)
        if time.monotonic() > deadline:
            raise StackError(
                f"a PostgreSQL (pid {found.pid}) holds {pgdata} and neither ends nor accepts "
                f"the saved password: stop it with `kill -INT {found.pid}` and try again"
            )
        time.sleep(0.1)


def _require_postmaster(pid: int, pgdata: Path) -> None:
    """A pid may be another program's after a restart of the machine; PostgreSQL itself would not start then.

    A postmaster's working folder is its data folder. Where the system does not tell, the pid file is believed.
    """
    try:
        process = Path(f"/proc/{pid}")
        command, folder = (process / "comm").read_text().strip(), (process / "cwd").readlink()
    except OSError:
        return
    if folder != pgdata.resolve():
        raise StackError(
            f"{pgdata / PID_FILE} is stale: it names pid {pid}, now another program's (`{command}`). "
            "Delete that file and try again"
        )


def _answers(found: PidFile, pgdata: Path, password: str) -> bool:
    if not found.is_ready:
        return False
    try:
        with psycopg.connect(
            host="127.0.0.1",
            port=found.port,
            user="postgres",
            password=password,
            dbname="postgres",
            connect_timeout=5,
        ) as connection:
            told = connection.execute("SELECT current_setting('data_directory')").fetchone()
    except psycopg.Error:
        return False
    return told is not None and os.path.realpath(told[0]) == os.path.realpath(pgdata)
