"""One writer a journal: an flock that the kernel releases whatever happens to its holder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path


class JournalInUse(Exception):
    """Another process writes to this journal; the message says which."""


class WriterLock:
    """An exclusive lock beside the journal, in a file that says who holds it.

    Beside it, and not on it: pruning puts another file in the journal's place, and a lock on the old one would guard
    nothing.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self, doing: str) -> None:
        """Take it, and tell others what this process is doing.

        Raises
        ------
        JournalInUse: it is held.
        OSError: the file cannot be made.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalInUse(self._holder()) from None
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self.tell(doing)

    def tell(self, doing: str) -> None:
        """Say anew what the holder is doing. A full disk leaves it unsaid: the lock holds all the same."""
        if self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps({"pid": os.getpid(), "doing": doing}).encode(), 0)
        except OSError:
            pass

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _holder(self) -> str:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {int(said['pid'])} ({said['doing']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
