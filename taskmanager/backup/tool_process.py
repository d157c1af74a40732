"""One run of pg_dump or pg_restore: ended with whoever runs it, its complaint in a form that quotes no row."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from taskmanager.backup.errors import ToolFailed
from taskmanager.observability.privacy import scrubbed, without_addresses

_GRACE_S = 5.0
_LONGEST_COMPLAINT = 400


def run_tool(
    program: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    meanwhile: Callable[[], None] | None = None,
    keep_open: Sequence[int] = (),
) -> None:
    """Run it to its end.

    Parameters
    ----------
    meanwhile: what to do while it runs. Where that fails, the program is ended.
    keep_open: file descriptors that it inherits, such as a lock that is to hold as long as it writes.

    Raises
    ------
    ToolFailed: it ended with an error, which the message names.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=keep_open,
        )
        try:
            if meanwhile is not None:
                meanwhile()
            status = process.wait()
        finally:
            _end(process)
        if status != 0:
            raise ToolFailed(f"{program.name} failed: {_complaint(said, status)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _complaint(said: IO[bytes], status: int) -> str:
    """Its first error. Lines of another kind quote rows and statements."""
    said.seek(0)
    text = said.read().decode("utf-8", "replace")
    found = re.search(r"^pg_\w+: error: (.+)$", text, re.MULTILINE) or re.search(r"^(pg_\w+: .+)$", text, re.MULTILINE)
    if found is None:
        return f"it ended with status {status}" if status > 0 else f"it was ended by signal {-status}"
    return without_addresses(scrubbed(found[1]))[:_LONGEST_COMPLAINT]
