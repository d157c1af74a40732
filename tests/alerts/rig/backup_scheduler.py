"""`taskmanager backup --every` as a process that can be killed and started again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests import plain_http
from tests.processes import ROOT, free_port

_VERIFIED = re.compile(r"^taskmanager_backup_last_verified_timestamp_seconds [1-9]", re.MULTILINE)


class BackupScheduler:
    """The scheduler on a port of its own, with its backups in `folder`/backups.

    Parameters
    ----------
    variables: the database's.
    scratch_url: a server on which each backup is tried.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], scratch_url: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._variables = {
            **variables,
            "TASKMANAGER_BACKUP_FOLDER": str(folder / "backups"),
            "TASKMANAGER_BACKUP_SCRATCH_URL": scratch_url,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "backups.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "taskmanager", "backup", "--every", "24h", "--listen", self.address],
                env={**os.environ, **self._variables},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_until_verified(self, within_s: float = 60.0) -> None:
        """Until it tells of a verified backup."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                if _VERIFIED.search(plain_http.get(f"http://{self.address}/metrics", timeout=5).text):
                    return
            except httpx.TransportError:
                assert self._process is None or self._process.poll() is None, (self._folder / "backups.log").read_text()
            time.sleep(0.1)
        raise AssertionError(f"no verified backup within {within_s} s\n{(self._folder / 'backups.log').read_text()}")
