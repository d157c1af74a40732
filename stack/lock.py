"""One launcher a folder: an exclusive flock that the kernel releases whatever happens to its holder."""

import fcntl
import json
import os
from pathlib import Path

from stack.errors import FolderInUse
from stack.folders import unwritable


class FolderLock:
    """An exclusive lock on the file `path`, which says who holds it."""

    def __init__(self, path: Path, refusal: str, advice: str = "") -> None:
        """When the lock is held, `refusal` begins the message ("another `make run` uses it"), and `advice` ends it."""
        self._path = path
        self._refusal = refusal
        self._advice = f": {advice}" if advice else ""
        self._descriptor: int | None = None

    def acquire(self, serves: str = "") -> None:
        """Takes the lock and writes this process's id, and the address it serves, into the file.

        Raises FolderInUse when another process holds it, StackError when the file cannot be written.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unwritable(self._path.parent, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderInUse(f"{self._refusal}{self._describe_holder()}{self._advice}") from None
        except OSError as error:
            os.close(descriptor)
            raise unwritable(self._path.parent, error) from error
        self._descriptor = descriptor
        self._write(json.dumps({"pid": os.getpid(), "serves": serves}))

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            self._write("")
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, text: str) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._path.read_text())
            serves = f", serving {holder['serves']}" if holder["serves"] else ""
            return f" (pid {holder['pid']}{serves})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
