"""What a child process says goes to a file that never grows beyond all bounds, and is quoted from it."""

import contextlib
import shutil
from pathlib import Path

LARGE_LOG_BYTES = 5_000_000


def begin_log(log: Path) -> int:
    """The log's size in bytes, where what a new process says begins; a large one is set aside first."""
    if not log.exists():
        return 0
    size = log.stat().st_size
    if size < LARGE_LOG_BYTES:
        return size
    log.replace(_set_aside(log))
    return 0


def bound_log(log: Path) -> bool:
    """Whether the log of a process that runs was large and was emptied; what it held is set aside.

    The process has to append, as all do whose output was opened so: it keeps its file, so that this one is copied and
    cut. What it says between the two is lost.
    """
    try:
        if log.stat().st_size < LARGE_LOG_BYTES:
            return False
        _copy_aside(log)
        with log.open("r+b") as stream:
            stream.truncate(0)
    except OSError:
        return False  # removed by somebody, say; no log is worth ending what runs
    return True


def _copy_aside(log: Path) -> None:
    aside = _set_aside(log)
    try:
        # PostgreSQL's may quote statements: at no moment may the copy be read by more than the original.
        aside.unlink(missing_ok=True)
        aside.touch(0o600)
        shutil.copy(log, aside)
    except OSError:
        # On a full disk room for the data is worth more than an old log.
        with contextlib.suppress(OSError):
            aside.unlink()


def _set_aside(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def last_lines(log: Path, count: int = 5, start: int = 0) -> str:
    """The log's last lines from byte `start` on, joined into one."""
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())
