"""One backup at a time in a folder: a lock that the kernel releases whatever happens to its holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskmanager.backup.errors import AnotherAtWork, BackupError, reason

LOCK_FILE = ".lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[int]:
    """The lock's file descriptor. A program that inherits it holds the lock until it ends: so a pg_dump that outlives
    a killed parent still writes alone.

    Raises
    ------
    AnotherAtWork: somebody has it.
    """
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BackupError(f"{path} cannot be opened: {reason(error)}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "of another process"
            raise AnotherAtWork(
                f"another backup is at work in {folder} (process {holder})", solution="wait for it, or end it"
            ) from None
        except OSError as error:
            raise BackupError(f"{path} cannot be locked: {reason(error)}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
