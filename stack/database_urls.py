"""Which database the service uses: one the user names, or the one started here."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.folders import DEFAULT_DATA
from stack.postgres import Database
from stack.private_file import write_private
from stack.user_settings import ENV_FILE_VARIABLE, FILE_SUFFIX, UserSettings

APP_VARIABLE = "DATABASE_URL"
MIGRATION_VARIABLE = "MIGRATION_DATABASE_URL"
MIGRATE_VARIABLE = "TASKMANAGER_MIGRATE"
GATE_VARIABLE = "TASKMANAGER_SCHEMA_GATE"
DISK_VARIABLE = "TASKMANAGER_DISK_FOLDER"
SERVICE_ENV = "service.env"


@dataclass(frozen=True)
class DatabaseUrls:
    """The URL the service uses, the migrations' where it differs, and where they were found."""

    app: str
    migration: str | None
    origin: str

    @classmethod
    def of(cls, database: Database) -> "DatabaseUrls":
        return cls(database.app_url, database.migrator_url, "the PostgreSQL started here")

    def environment(self) -> dict[str, str]:
        """The variables by which the service and its commands learn the URLs.

        The migrations' is empty, which counts as unset, rather than left out: so it hides any other. The files that
        may have named the URLs are hidden too, since the service refuses a name that is given twice.
        """
        urls = {APP_VARIABLE: self.app, MIGRATION_VARIABLE: self.migration or ""}
        return urls | {f"{name}{FILE_SUFFIX}": "" for name in urls}


def chosen_urls(settings: UserSettings) -> DatabaseUrls | None:
    """The URLs the user has set, None to start a PostgreSQL.

    Both come from the first source that names either: with one from `.env` and the other from the environment,
    a database would be migrated that nobody serves. The service itself applies the same rule.

    Raises StackError when that source names only the migrations' URL.
    """
    for source in settings.sources:
        app, migration = source.secret(APP_VARIABLE), source.secret(MIGRATION_VARIABLE)
        if app is not None:
            return DatabaseUrls(app, migration, source.origin)
        if migration is not None:
            raise StackError(
                f"{MIGRATION_VARIABLE} is set but {APP_VARIABLE} is not (in {source.origin}): set both to use a "
                "server of yours, or neither to have one started"
            )
    return None


def write_service_env(folder: Path, urls: DatabaseUrls) -> Path:
    """Leaves the URLs where the service's commands, called from another terminal, find them. Mode 0600."""
    path = folder / SERVICE_ENV
    write_private(path, "".join(f"{name}={value}\n" for name, value in urls.environment().items()))
    return path


def remove_service_env(folder: Path) -> None:
    (folder / SERVICE_ENV).unlink(missing_ok=True)


def alembic_command(data: Path) -> str:
    """How to call Alembic, in this folder, on the PostgreSQL whose addresses lie in `data`."""
    program = _from_here(Path(sys.executable).with_name("alembic"))
    # Where it looks by itself, unless it was told to read no file.
    if data == DEFAULT_DATA.absolute() and os.environ.get(ENV_FILE_VARIABLE) != "":
        return program
    return f"{ENV_FILE_VARIABLE}={_from_here(data / SERVICE_ENV)} {program}"


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return shlex.quote(f"{path.relative_to(here) if path.is_relative_to(here) else path}")


def mask_password(url: str) -> str:
    """The URL, or libpq's keyword form, with `***` for each password."""
    masked = re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", masked, flags=re.IGNORECASE)
