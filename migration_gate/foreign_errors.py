"""Errors in the files of the project (alembic.ini, env.py, models, migrations), told in a line, not as a traceback."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.faults import primary_message
from migration_gate.withheld import withheld

_OWN = str(Path(__file__).parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def as_told(error: Exception | SystemExit) -> MigrationGateError:
    """The error as the command line tells it.

    Raises
    ------
    Exception: `error` itself, where it is the gate's own mistake, whose traceback somebody must see.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((_OWN, "<", *_LIBRARIES))]
    # The command line's own way to end, through argparse, passes by no file of the project.
    if (frames and frames[-1].filename.startswith(_OWN)) or (isinstance(error, SystemExit) and not theirs):
        raise error
    if isinstance(error, SystemExit):
        message = "A file of the project ended the process (sys.exit)"
    else:
        message = f"A file of the project could not be used: {type(error).__name__}"
        if words := " ".join(withheld(_words(error)).split()):
            message += f": {words}"
    if isinstance(error, SyntaxError):
        message += f" ({error.filename}, line {error.lineno})"
    elif theirs:
        message += f" ({theirs[-1].filename}, line {theirs[-1].lineno})"
    return MigrationGateError(
        f"{message}.", solution="mend that file; a command of Alembic's, such as alembic current, tells more of it"
    )


def _words(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    # What PostgreSQL says below its first line can quote a row.
    return primary_message(error) or str(error)
