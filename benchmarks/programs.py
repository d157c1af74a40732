"""The programs of this machine that the benchmark runs, and how to get each."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.failures import Missing

OLDEST_NODE = 20
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


def wrk() -> Path:
    """Raises Missing."""
    return _found("wrk", "apt-get install wrk (macOS: brew install wrk)")


def npm() -> Path:
    """Raises Missing."""
    return _found("npm", f"install Node {OLDEST_NODE} or newer with npm, such as by apt-get install nodejs npm")


def node() -> Path:
    """Raises Missing, also where Node is too old for Fastify."""
    found = _found("node", f"install Node {OLDEST_NODE} or newer, such as by apt-get install nodejs npm")
    told = version(found)
    major = re.match(r"v(\d+)", told)
    if major is None or int(major[1]) < OLDEST_NODE:
        raise Missing(f"Node {OLDEST_NODE}", f"{found} is {told}; install a newer one")
    return found


def pgbench(postgres_folder: Path) -> Path:
    """Beside the server that runs, else on PATH, else the machine's newest. Raises Missing."""
    installed = sorted(DEBIAN_POSTGRES.glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    on_path = shutil.which("pgbench")
    for candidate in (postgres_folder / "pgbench", on_path and Path(on_path), *(f / "pgbench" for f in installed)):
        if candidate and candidate.is_file():
            return candidate
    raise Missing("pgbench", "apt-get install postgresql (it comes with the server)")


def version(program: Path, option: str = "--version") -> str:
    """The first line it prints, without what follows a bracket; wrk exits with 1 and still tells."""
    done = subprocess.run([program, option], capture_output=True, text=True, timeout=30, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return re.split(r"\s*[\[(]", lines[0])[0] if lines else "unknown"


def _found(name: str, how_to_get_it: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    raise Missing(name, how_to_get_it)
