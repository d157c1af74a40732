"""Folders the launcher writes in."""

import os
from pathlib import Path

from stack.errors import StackError

# The tree this launcher belongs to: the configuration of what it starts lies beside it.
PROJECT_ROOT = Path(__file__).resolve().parent.parent

# Where the service and Alembic look for addresses by themselves.
DEFAULT_DATA = Path(".data")
ANOTHER_FOLDER = "choose another folder (make run DATA=FOLDER)"


def prepare_folder(folder: Path) -> None:
    """Makes the folder unless it is there; raises StackError when it cannot be made."""
    if folder.is_dir():
        return
    for path in (folder, *folder.parents):
        if path.is_file():
            raise StackError(f"{path} is a file, not a folder: {ANOTHER_FOLDER}")
    try:
        folder.mkdir(parents=True)
        # Other accounts pass through what root makes, since PostgreSQL's must; none may list it. Not given to
        # mkdir, whose mode the umask narrows.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> StackError:
    return StackError(f"cannot write in {folder}: {error.strerror}: make it yours, or {ANOTHER_FOLDER}")
