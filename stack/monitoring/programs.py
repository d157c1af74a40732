"""Prometheus and Alertmanager: where they are on this machine, and how they are had where they are not."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

# The first Prometheus that knows keep_firing_for, and the first Alertmanager that reads SMTP passwords from files.
OLDEST = {"prometheus": (2, 42), "alertmanager": (0, 25)}
# The second is Debian's name for it.
NAMES = {"prometheus": ("prometheus",), "alertmanager": ("alertmanager", "prometheus-alertmanager")}
HOW_TO_INSTALL = """\
  Debian, Ubuntu: apt-get install --no-install-recommends prometheus prometheus-alertmanager
                  (Debian starts at once what it installs; `make run` needs neither of the two services:
                  systemctl disable --now prometheus prometheus-alertmanager)
  macOS:          brew install prometheus alertmanager (where Homebrew has no alertmanager: as elsewhere)
  elsewhere:      the archives of the Prometheus project's download page, unpacked into a folder of your PATH"""


@dataclass(frozen=True)
class Programs:
    """The two programs, and their versions, such as "2.42.0"."""

    prometheus: Path
    prometheus_version: str
    alertmanager: Path
    alertmanager_version: str


class ProgramsMissing(StackError):
    """Monitoring cannot be started here; `reason` says what is lacking, the whole text also how to get it."""

    def __init__(self, complaints: Sequence[str]) -> None:
        self.reason = " and ".join(complaints)
        super().__init__(f"{self.reason}. To have it:\n{HOW_TO_INSTALL}")


def find_programs(path: str | None = None) -> Programs:
    """Looks in `path`, otherwise in PATH; raises ProgramsMissing, with all that is missing or too old."""
    found: dict[str, tuple[Path, str]] = {}
    complaints = []
    for program in NAMES:
        try:
            found[program] = _find(program, path)
        except StackError as complaint:
            complaints.append(str(complaint))
    if complaints:
        raise ProgramsMissing(complaints)
    return Programs(*found["prometheus"], *found["alertmanager"])


def _find(program: str, path: str | None) -> tuple[Path, str]:
    file = next(filter(None, (shutil.which(name, path=path) for name in NAMES[program])), None)
    if file is None:
        raise StackError(f"there is no {program} in PATH")
    try:
        told = subprocess.run([file, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(f"{file} does not run here ({error})") from error
    # Older ones write it to standard error.
    version = re.search(rf"^{program}, version (\d+)\.(\d+)[.\d]*", told.stdout + told.stderr, re.MULTILINE)
    if version is None:
        raise StackError(f"{file} is no {program}: it does not tell the version of one")
    number = version[0].rpartition(" ")[2]
    if (int(version[1]), int(version[2])) < OLDEST[program]:
        raise StackError(f"{file} is too old: {number}, and {'.'.join(map(str, OLDEST[program]))} is needed")
    return Path(file), number
