"""docker-compose in both generations: 1.29, which Debian 12 has, and v2, which the next Debian has."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.containers.engine import FOLDER, EngineLacking

_PLUGIN = Path("usr/libexec/docker/cli-plugins/docker-compose")


def compose_v1() -> list[str]:
    """The command of docker-compose 1.x. Raises EngineLacking where it is not installed."""
    if (found := shutil.which("docker-compose")) and _major(found) == 1:
        return [found]
    raise EngineLacking("docker-compose 1.29 is not installed; on Debian 12: apt-get install docker-compose")


def compose_v2(folder: Path = FOLDER) -> list[str]:
    """The command of compose v2: the machine's own, else that of Debian 13's package, unpacked into `folder` once.

    Raises EngineLacking where neither can be had.
    """
    if shutil.which("docker") and _major("docker", "compose") == 2:
        return ["docker", "compose"]
    if (found := shutil.which("docker-compose")) and _major(found) == 2:
        return [found]
    kept = folder / "compose-v2" / "docker-compose"
    if not kept.is_file():
        _unpack(kept)
    return [str(kept)]


def _major(*command: str) -> int | None:
    said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
    found = re.match(r"v?(\d+)\.", said.stdout.strip())
    return int(found[1]) if said.returncode == 0 and found else None


def _unpack(kept: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise EngineLacking(
            "compose v2 is not installed, and unpacking it needs mmdebstrap: apt-get install mmdebstrap"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        tree = Path(scratch) / "tree"
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=extract", "--include=docker-compose", "trixie", str(tree)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineLacking(f"compose v2 could not be unpacked: {done.stderr[-800:]}")
        (tree / _PLUGIN).rename(kept)
