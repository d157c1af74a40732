"""What a child process says goes to a file that never grows beyond all bounds, and is quoted from it."""

from pathlib import Path

LARGE_LOG_BYTES = 5_000_000


def begin_log(log: Path) -> int:
    """The log's size in bytes, where what a new process says begins; a large one is set aside first."""
    if not log.exists():
        return 0
    size = log.stat().st_size
    if size < LARGE_LOG_BYTES:
        return size
    log.replace(log.with_name(f"{log.name}.1"))
    return 0


def last_lines(log: Path, count: int = 5, start: int = 0) -> str:
    """The log's last lines from byte `start` on, joined into one."""
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())
