"""The shell of somebody who reads a runbook, in the folder that they deploy from."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.monitoring_programs import monitoring_programs, tool
from tests.processes import ROOT, lacking

_NEEDED = {
    "curl": "install curl",
    "jq": "install jq",
    "psql": "install PostgreSQL's client",
    "git": "install git",
    "lsof": "install lsof",
    "ss": "install iproute2",
}
_BASH = ("bash", "--noprofile", "--norc", "-o", "pipefail", "-c")


class Shell:
    """Runs lines in `folder`. `variables` may be changed at any time; what a line leaves running ends with `close`.

    `within` is what comes before a command that is to run elsewhere, in a namespace say.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = dict(variables)
        self.within: tuple[str, ...] = ()
        self._mark = uuid.uuid4().hex
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name, how in _NEEDED.items():
            if shutil.which(name) is None:
                lacking(name, how)
        for name in ("promtool", "amtool"):
            tool(name)
        # Debian has another name for it.
        (self._programs / "alertmanager").symlink_to(monitoring_programs().alertmanager)
        for name in ("alembic.ini", "alembic"):
            (folder / name).symlink_to(ROOT / name)
        # curl shows no progress meter in a terminal.
        (folder / ".curlrc").write_text("no-progress-meter\n")

    def typed(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line to its end; output and error come as one."""
        return subprocess.run(
            # A namespace may have another working directory.
            [*self.within, *_BASH, f"cd {shlex.quote(str(self.folder))}\n{line}"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def succeeds(self, line: str) -> None:
        """Run a line that must go well."""
        done = self.typed(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}"

    def begin(self, line: str) -> subprocess.Popen[bytes]:
        """Let a line run by itself."""
        return subprocess.Popen(
            [*_BASH, line],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"PATH": path, "CURL_HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC", "SCENE": self._mark}
        return os.environ | self.variables | own

    def close(self) -> None:
        """End what the lines have left running: it bears this shell's mark in its environment."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("SCENE") == self._mark:
                    process.kill()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
