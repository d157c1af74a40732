"""Where commands find their programs: in this environment first, in the versions that requirements-dev.txt names."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_BIN = Path(sysconfig.get_path("scripts"))


def variables() -> dict[str, str]:
    """What a command's environment has beside the caller's: tools look other tools up on the path."""
    return {"PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def resolved(command: Sequence[str]) -> list[str]:
    """The command, with this environment's own program where it has one of that name."""
    program, *arguments = command
    if program == "python":
        return [sys.executable, *arguments]
    own = _BIN / program
    return [str(own) if own.exists() else program, *arguments]
