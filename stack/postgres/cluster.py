"""One PostgreSQL server with its data folder, started and stopped by us."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from stack.errors import StackError
from stack.lock import FolderLock
from stack.log_file import bound_log
from stack.ports import LOOPBACK
from stack.postgres.binaries import Binaries, find_binaries, within_reach
from stack.postgres.data_folder import SUPERUSER, check_data_folder, make_data_folder, remove_unfinished
from stack.postgres.launch import NOT_DURABLE, Launch
from stack.postgres.passwords import Passwords, draw_passwords, read_passwords
from stack.postgres.place import OUTSIDE, Place, choose_place
from stack.postgres.postmaster import LeftPostmaster, find_left_postmaster, read_pid_file
from stack.process import GuardedProcess

PORT_FILE = "postgres.port"
LOG_FILE = "postgres.log"
LOCK_FILE = "postgres.lock"
_T = TypeVar("_T")


def _silent(_line: str) -> None:
    return


class Cluster:
    """PostgreSQL in `data_dir`/postgres, made on first start, on a loopback port that is kept if it can be.

    Root's clusters run under an unprivileged account; where that account cannot enter `data_dir`, the cluster
    lies in a folder under `outside` and `folder` says where. `durable=False` trades safety against power cuts
    for speed. `settings` are server settings by name. `say` receives lines worth showing to a person.

    A context manager: entering starts, leaving stops.
    """

    name = "PostgreSQL"

    def __init__(
        self,
        data_dir: Path | str,
        *,
        binaries: Binaries | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        outside: Path = OUTSIDE,
        say: Callable[[str], None] = _silent,
    ) -> None:
        self._asked = Path(data_dir).absolute()
        self._binaries = binaries
        self._durable = durable
        self._settings = ({} if durable else NOT_DURABLE) | dict(settings or {})
        self._outside = outside
        self._say = say
        self._lock: FolderLock | None = None
        self._place: Place | None = None
        self._passwords: Passwords | None = None
        self._port: int | None = None
        self._server: GuardedProcess | LeftPostmaster | None = None

    def start(self) -> None:
        """Makes the cluster if there is none, starts it and waits until it accepts connections.

        Raises StackError: no usable PostgreSQL, a broken or foreign data folder, a server that does not come
        up; FolderInUse when another process runs this cluster.
        """
        if self._server is not None:
            raise StackError(f"PostgreSQL in {self.folder} is started already")
        self._place = choose_place(self._asked, self._outside)
        if self._place.folder != self._asked:
            self._say(
                f"PostgreSQL's data are kept in {self._place.folder}: it cannot run as root, and its account "
                f"cannot enter {self._asked}"
            )
        lock = FolderLock(self.folder / LOCK_FILE, f"another process runs PostgreSQL in {self.folder}")
        lock.acquire()
        self._lock = lock
        try:
            self._start_locked(self._place)
        except BaseException:
            self.stop()
            raise

    def _start_locked(self, place: Place) -> None:
        binaries = within_reach(self._binaries or find_binaries(), place.run_as, self._outside)
        self._binaries = binaries
        remove_unfinished(place)
        if not os.path.lexists(place.pgdata):
            drawn = draw_passwords(place.folder)
            make_data_folder(place, binaries, drawn.superuser, durable=self._durable)
        check_data_folder(place.pgdata, binaries.major)
        self._passwords = read_passwords(place.folder)
        left = find_left_postmaster(place.pgdata, self._passwords.superuser)
        if left is not None:
            self._take_over(left, place)
            return
        launch = Launch(place, binaries, self.log, self._settings)
        self._server, self._port = launch.run(self._saved_port())
        (place.folder / PORT_FILE).write_text(f"{self._port}\n")

    def _take_over(self, left: LeftPostmaster, place: Place) -> None:
        told = read_pid_file(place.pgdata)
        if told is None or told.port is None:
            raise StackError(f"the PostgreSQL left running in {place.pgdata} has just ended: try again")
        self._server, self._port = left, told.port
        self._say(f"PostgreSQL was left running (pid {left.child_pid}): taken over, and stopped at the end")

    def _saved_port(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / PORT_FILE).read_text())
        return None

    def stop(self) -> None:
        """Stops the server in an orderly way (at most 20 s) and frees the folder. May be repeated."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def hasten(self) -> None:
        """Ends the server without an orderly shutdown; what was committed is recovered at the next start."""
        if self._server is not None:
            self._server.hasten()

    def poll(self) -> int | None:
        """The exit code (128 + n for signal n) once the server has ended by itself, else None."""
        return None if self._server is None else self._server.poll()

    def bound_log(self) -> None:
        """Sets aside what the server has said, once that is much."""
        if self.poll() is None:
            bound_log(self.log)

    @property
    def folder(self) -> Path:
        """Holds `postgres` (the data), the log, the passwords and the port: `data_dir`, or one outside."""
        return self._asked if self._place is None else self._place.folder

    @property
    def log(self) -> Path:
        return self.folder / LOG_FILE

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running().child_pid

    @property
    def guardian_pid(self) -> int | None:
        """The process that ends the postmaster when this one dies; None for one that was taken over."""
        server = self._running()
        return server.pid if isinstance(server, GuardedProcess) else None

    @property
    def port(self) -> int:
        self._running()
        return self._started(self._port)

    @property
    def passwords(self) -> Passwords:
        return self._started(self._passwords)

    @property
    def binaries(self) -> Binaries:
        return self._started(self._binaries)

    def _running(self) -> GuardedProcess | LeftPostmaster:
        if self._server is None:
            raise StackError(f"PostgreSQL in {self.folder} is not running")
        return self._server

    def _started(self, value: _T | None) -> _T:
        if value is None:
            raise StackError("this PostgreSQL has not been started")
        return value

    def superuser_url(self, database: str = "postgres") -> str:
        return self.url(SUPERUSER, self.passwords.superuser, database)

    def url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextlib.contextmanager
def temporary_cluster(
    *, binaries: Binaries | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A running cluster for tests, not durable, in a folder of its own that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="taskmanager-postgres-"))
    try:
        # mkdtemp's 0700 would keep PostgreSQL's account out when root runs the tests.
        folder.chmod(0o711)
        with Cluster(folder, binaries=binaries, durable=False, settings=settings) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)
