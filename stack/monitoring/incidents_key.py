"""The key that the incident receiver asks for, where the user has set one."""

from pathlib import Path

from stack.errors import StackError
from stack.folders import prepare_folder
from stack.private_file import write_private
from stack.user_settings import UserSettings

KEY_VARIABLE = "TASKMANAGER_INCIDENTS_KEY"
KEYS_FILE_VARIABLE = "TASKMANAGER_INCIDENTS_KEY_FILE"
KEY_FILE = "incidents.key"


def incidents_key(settings: UserSettings, folder: Path) -> Path | None:
    """A file in `folder` that holds the first of the receiver's keys alone, as Prometheus and Alertmanager read one.

    None where it has none, since it then listens to this machine alone.

    Raises StackError when the file of the keys cannot be read.
    """
    key = settings.value(KEY_VARIABLE).strip() or _first_key(settings.value(KEYS_FILE_VARIABLE))
    if not key:
        return None
    prepare_folder(folder)
    write_private(folder / KEY_FILE, f"{key}\n")
    return folder / KEY_FILE


def _first_key(named: str) -> str:
    """One key a line, comments after #; the receiver says itself what is wrong with a file that holds none."""
    if not named:
        return ""
    try:
        lines = Path(named).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StackError(f"{KEYS_FILE_VARIABLE} names {named}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StackError(f"{KEYS_FILE_VARIABLE} names {named}, which is not UTF-8 text") from error
    return next(filter(None, (line.partition("#")[0].strip() for line in lines)), "")
