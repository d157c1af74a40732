"""A small file system of its own, so that filling a disk fills nobody's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import lacking


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system in memory at `folder`, gone afterwards. Making one takes root."""
    folder.mkdir()
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "taskmanager-proof", str(folder))
    if mounted.returncode != 0:
        lacking("the right to mount a file system", "run as root, in a container with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        _run("umount", str(folder))


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, b"", os.strerror(error.errno or 0).encode())


def fill(folder: Path, left: float) -> None:
    """Write one file until the share `left` of the file system is free."""
    found = os.statvfs(folder)
    room = found.f_bavail * found.f_frsize - int(left * found.f_blocks * found.f_frsize)
    (folder / "filling").write_bytes(bytes(max(0, room)))
