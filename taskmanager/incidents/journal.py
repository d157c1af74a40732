"""The journal's file: appended to, on the disk before anything is acknowledged, and read back whatever happened.

What can be wrong with it, and what becomes of that:

- Its end is torn, by a process or a machine that died while it wrote: the piece is kept aside in a file of its own.
  Nobody was told that it was written.
- A line in the middle is damaged: it stays where it is, is told with its number, and the others count.
- The disk is full: what was half written is cut off again, the writer is told, and the next attempt may succeed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from taskmanager.incidents.entries import DamagedLine, Entry, line_of, read_line


class JournalUnusable(Exception):
    """The journal cannot be read. The message says why and what to do."""


class JournalNotWritable(Exception):
    """Nothing was written, and nothing may be acknowledged."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is no entry: its number in the file, from 1, and what is wrong with it."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal holds.

    `complete_bytes` is the length of its whole lines; `torn` is what stands behind them.
    """

    entries: tuple[Entry, ...]
    damage: tuple[Damage, ...] = ()
    complete_bytes: int = 0
    torn: bytes = b""

    @property
    def last_seq(self) -> int:
        """The highest number that a line may have had, those that cannot be read included."""
        return max((entry.seq for entry in self.entries), default=0) + len(self.damage)


def read(path: Path) -> Contents:
    """Read a journal without writing to it, also while a server does. Raises JournalUnusable."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise JournalUnusable(f"{path} is not a file; name another one with --journal")
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise JournalUnusable(f"there is no journal at {path}; name another one with --journal") from None
    except OSError as error:
        raise JournalUnusable(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None


def parse(content: bytes) -> Contents:
    """The entries of a journal's bytes. Never raises: what is no entry is told."""
    complete, newline, torn = content.rpartition(b"\n")
    lines = complete.split(b"\n") if newline else []
    entries: list[Entry] = []
    damage: list[Damage] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(read_line(line))
        except DamagedLine as fault:
            damage.append(Damage(number, str(fault)))
    return Contents(tuple(entries), tuple(damage), len(complete) + len(newline), torn)


class Journal:
    """The one writer of a journal; whoever makes one holds the `WriterLock`."""

    def __init__(self, path: Path) -> None:
        """Open the journal, make it where it is missing, and set a torn end aside. Its folder is there (`make_folder`).

        Raises
        ------
        JournalUnusable: it cannot be opened or read.
        """
        self.path = path
        self.kept_aside: Path | None = None
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise JournalUnusable(f"{path} cannot be opened: {os.strerror(error.errno or 0)}") from None
        self.contents = read(path)
        self._end = self.contents.complete_bytes
        self._next_seq = self.contents.last_seq + 1
        self._torn = self.contents.torn
        self._cut_off = False
        self._try_to_settle()

    @property
    def size_bytes(self) -> int:
        return self._end

    def append(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Write lines, all or none, and return them with their numbers once they are on the disk.

        Raises
        ------
        JournalNotWritable: they are not.
        """
        numbered = tuple(entry.numbered(self._next_seq + place) for place, entry in enumerate(entries))
        block = b"".join(line_of(entry) for entry in numbered)
        try:
            self._settle_end()
            self._must_be_ours()
            self._cut_off = True
            _write_all(self._descriptor, block)
            os.fsync(self._descriptor)
            self._cut_off = False
        except OSError as error:
            self._try_to_settle()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise JournalNotWritable(f"{self.path} cannot be written: {reason}") from None
        self._end += len(block)
        self._next_seq += len(numbered)
        return numbered

    def close(self) -> None:
        os.close(self._descriptor)

    def _try_to_settle(self) -> None:
        """On a full disk the end stays as it is: the journal is served all the same, and the next write tries again."""
        with contextlib.suppress(OSError):
            self._settle_end()

    def _settle_end(self) -> None:
        """Let the file end with a whole line. Raises OSError where the disk does not allow it."""
        if self._torn:
            self._keep_torn_aside()
        if self._cut_off:
            # After an fsync that failed, what was written may be lost though the next fsync succeeds. So it is cut
            # off, and whoever sent it is told to send it again: then its pages are written anew.
            os.ftruncate(self._descriptor, self._end)
            self._cut_off = False

    def _keep_torn_aside(self) -> None:
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        aside = self.path.with_name(f"{self.path.name}.torn-{at}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(descriptor, self._torn)
            os.fsync(descriptor)
        except OSError:
            aside.unlink()
            raise
        finally:
            os.close(descriptor)
        sync_folder(self.path.parent)
        os.ftruncate(self._descriptor, self._end)
        os.fsync(self._descriptor)
        self._torn = b""
        self.kept_aside = aside

    def _must_be_ours(self) -> None:
        """A file that was moved away would take what is written with it; one that grew has another writer."""
        ours = os.fstat(self._descriptor)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            raise OSError(f"it was moved or deleted while this process runs; put it back, or start {_AGAIN}") from None
        if (ours.st_ino, ours.st_dev) != (there.st_ino, there.st_dev):
            raise OSError(f"another file has taken its place; start {_AGAIN}")
        if ours.st_size != self._end:
            raise OSError(f"somebody else changed its length; start {_AGAIN}")


_AGAIN = "`taskmanager incidents serve` again"


def _open(path: Path) -> int:
    made = not path.exists()
    # Without O_NONBLOCK, a pipe of this name would hold the process up until somebody reads from it.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    if made:
        os.fsync(descriptor)
        sync_folder(path.parent)
    return descriptor


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each name on the disk. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: a new file is not there after a power cut before this."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[os.write(descriptor, left) :]
