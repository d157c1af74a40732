"""A cluster's data folder: making one, and saying what is wrong with one, without touching it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stack.errors import StackError
from stack.folders import ANOTHER_FOLDER
from stack.log_file import last_lines
from stack.postgres.binaries import Binaries
from stack.postgres.place import Place
from stack.process import GuardedProcess

SUPERUSER = "postgres"
UNFINISHED = "postgres.init-"
BUILTIN_LOCALES_SINCE = 17


def check_data_folder(pgdata: Path, major: int) -> None:
    """Raises StackError when PostgreSQL `major` cannot work with the folder. Changes nothing in it."""
    if not pgdata.is_dir():
        raise StackError(f"{pgdata} is not a folder: {_afresh(pgdata)}")
    _require_access(pgdata)
    try:
        version = (pgdata / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise StackError(f"{pgdata} is no PostgreSQL data folder, PG_VERSION is missing: {_afresh(pgdata)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{pgdata / 'PG_VERSION'} cannot be read ({error}): {_afresh(pgdata)}") from error
    if not version.isdigit():
        raise StackError(f"{pgdata / 'PG_VERSION'} is garbled ({version[:20]!r}): {_afresh(pgdata)}")
    if int(version) != major:
        raise StackError(
            f"{pgdata} was made by PostgreSQL {version}, but PostgreSQL {major} would run it: set "
            f"TASKMANAGER_POSTGRES_BIN to the bin folder of PostgreSQL {version}, or {_afresh(pgdata)}"
        )
    if not (pgdata / "global" / "pg_control").is_file():
        raise StackError(f"{pgdata} is damaged, global/pg_control is missing: {_afresh(pgdata)}")


def _afresh(pgdata: Path) -> str:
    return f"move {pgdata} away to begin with an empty database, or restore it from a backup"


def _require_access(pgdata: Path) -> None:
    owner = pgdata.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise StackError(
            f"{pgdata} belongs to user id {owner}, not to yours ({os.geteuid()}): run as that user "
            f"or as root, or {ANOTHER_FOLDER}"
        )


def remove_unfinished(place: Place) -> None:
    for leftover in place.folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def make_data_folder(place: Place, binaries: Binaries, password: str, *, durable: bool) -> None:
    """Runs initdb in a folder beside, and renames the result into place: a cluster that is there is whole.

    Raises StackError with initdb's last words when it fails.
    """
    work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.folder))
    try:
        # initdb reads the password under its own account: from a file that only this account may read.
        password_file = work / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        if place.run_as is not None:
            for path in (work, password_file):
                os.chown(path, place.run_as.uid, place.run_as.gid)
        _run_initdb(work, place, binaries, durable=durable)
        (work / "cluster").rename(place.pgdata)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if durable:
        _flush(place.folder)


def _run_initdb(work: Path, place: Place, binaries: Binaries, *, durable: bool) -> None:
    options = ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", f"--username={SUPERUSER}"]
    options += [f"--pwfile={work / 'password'}", f"--pgdata={work / 'cluster'}"]
    if not durable:
        options.append("--no-sync")
    log = work / "initdb.log"
    for locale in _locales(binaries.major):
        with log.open("wb") as output:
            process = GuardedProcess(
                [binaries.initdb, *options, *locale],
                name="initdb",
                env=child_environment(),
                cwd=Path("/"),
                grace=5,
                run_as=place.run_as,
                output=output.fileno(),
            )
            with process:
                code = process.wait()
        if code == 0:
            return
        if "locale" not in log.read_text(errors="replace"):
            break
    raise StackError(f"initdb failed in {place.folder}: {last_lines(log)}")


def _locales(major: int) -> Iterator[list[str]]:
    """C.UTF-8 sorts alike on every machine; before version 17 it comes from the system, which may lack it."""
    if major >= BUILTIN_LOCALES_SINCE:
        yield ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return
    yield ["--locale=C.UTF-8"]
    yield ["--locale=C"]


def child_environment() -> dict[str, str]:
    """What PostgreSQL's programs may see: no PG* variables, which would redirect them, and no secrets."""
    kept = ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {"LC_ALL": "C"} | {name: os.environ[name] for name in kept if name in os.environ}


def _flush(folder: Path) -> None:
    """Makes a rename within the folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
