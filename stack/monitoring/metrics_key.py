"""The key by which Prometheus reads /metrics of a service that asks for one."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.errors import StackError
from stack.folders import prepare_folder
from stack.private_file import write_private
from stack.user_settings import UserSettings

AUTH_VARIABLE = "TASKMANAGER_AUTH"
ENV_VARIABLE = "TASKMANAGER_ENV"
KEYS_VARIABLE = "TASKMANAGER_KEYS"
KEYS_FILE_VARIABLE = "TASKMANAGER_KEYS_FILE"
METRICS_KEY_VARIABLE = "TASKMANAGER_METRICS_KEY_FILE"
KEY_FILE = "metrics.key"
COMMAND_SECONDS = 30


@dataclass(frozen=True)
class MetricsKey:
    """`file` holds the key alone, None when none is needed; `service` are variables by which the service knows it."""

    file: Path | None = None
    service: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> str:
        return self.file.read_text().strip() if self.file is not None else ""


def metrics_key(settings: UserSettings, folder: Path) -> MetricsKey:
    """The key of the file that TASKMANAGER_METRICS_KEY_FILE names, otherwise one for this run alone.

    That one is written into `folder`, and the service gets its SHA-256 beside the keys of the user. It may read the
    metrics and nothing else. Where the user has named no keys, there is none either: it would let a service start
    that nobody can call.

    Raises StackError when the named file cannot be read, or no key could be made.
    """
    if not keys_are_asked_for(settings):
        return MetricsKey()
    if named := settings.value(METRICS_KEY_VARIABLE):
        file = Path(named).absolute()
        try:
            file.read_bytes()
        except OSError as error:
            raise StackError(f"{METRICS_KEY_VARIABLE} names {file}, which cannot be read: {error.strerror}") from error
        return MetricsKey(file)
    own = settings.value(KEYS_VARIABLE)
    if not own and not settings.value(KEYS_FILE_VARIABLE):
        return MetricsKey()
    key, line = new_key("Prometheus of stack up", "metrics:read")
    prepare_folder(folder)
    write_private(folder / KEY_FILE, f"{key}\n")
    return MetricsKey(folder / KEY_FILE, {KEYS_VARIABLE: ";".join(filter(None, (own, line)))})


def keys_are_asked_for(settings: UserSettings) -> bool:
    """Whether the service asks its callers for a key."""
    production = settings.choice(ENV_VARIABLE) == "production"
    return (settings.choice(AUTH_VARIABLE) or ("api_key" if production else "none")) == "api_key"


def new_key(whose: str, *scopes: str) -> tuple[str, str]:
    """A key, and the line that is stored of it; made by the service's own command. Raises StackError."""
    command = [sys.executable, "-m", "taskmanager", "keys", "new", "--comment", whose, "--json"]
    command += [argument for scope in scopes for argument in ("--scope", scope)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS)
        told = json.loads(done.stdout)
        return told["key"], told["line"]
    except subprocess.CalledProcessError as error:
        words = " | ".join(error.stderr.split("\n")).strip(" |")
        raise StackError(f"no key could be made for {whose}: {words}") from error
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise StackError(f"no key could be made for {whose}: {error}") from error
