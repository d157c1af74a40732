"""This service's own variables: production, with everything on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.table import ROOT

KEYS_FILE = "keys"


@dataclass(frozen=True)
class ServiceEnvironment:
    """What the service is started with, and the headers that its clients send."""

    variables: dict[str, str]
    headers: dict[str, str]


def service_environment(folder: Path) -> ServiceEnvironment:
    """Production with an API key: JSON logs, the schema gate and the metrics are on there unless switched off.

    Parameters
    ----------
    folder: where the file of keys is made, of one key.

    Raises
    ------
    BenchmarkError: no key could be made.
    """
    file = folder / KEYS_FILE
    file.unlink(missing_ok=True)
    key = new_key(file)
    variables = {
        "TASKMANAGER_ENV": "production",
        "TASKMANAGER_ENV_FILE": "",
        "TASKMANAGER_AUTH": "api_key",
        "TASKMANAGER_KEYS_FILE": str(file),
    }
    return ServiceEnvironment(variables, as_headers(key))


def new_key(file: Path, *scopes: str) -> str:
    """Add a new key to a file of keys, one that reads and changes tasks unless told otherwise, and return it.

    Raises
    ------
    BenchmarkError: no key could be made.
    """
    asked = [option for scope in scopes for option in ("--scope", scope)]
    done = subprocess.run(
        [sys.executable, "-m", "taskmanager", "keys", "new", "--file", file, "--json", *asked],
        cwd=ROOT,
        env=os.environ | {"TASKMANAGER_ENV_FILE": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"`taskmanager keys new` failed: {done.stderr.strip()}")
    key: str = json.loads(done.stdout)["key"]
    return key


def as_headers(key: str) -> dict[str, str]:
    """What a client sends that has this key."""
    return {"Authorization": f"Bearer {key}"}
