"""Which database the service uses: one the user names, or the one started here."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from stack.errors import StackError
from stack.postgres import Database
from stack.private_file import write_private

APP_VARIABLE = "DATABASE_URL"
MIGRATION_VARIABLE = "MIGRATION_DATABASE_URL"
MIGRATE_VARIABLE = "TASKMANAGER_MIGRATE"
ENV_FILE_VARIABLE = "TASKMANAGER_ENV_FILE"
SERVICE_ENV = "service.env"


@dataclass(frozen=True)
class DatabaseUrls:
    """The URL the service uses, and the migrations' where it differs."""

    app: str
    migration: str | None

    @classmethod
    def of(cls, database: Database) -> "DatabaseUrls":
        return cls(database.app_url, database.migrator_url)

    def environment(self) -> dict[str, str]:
        """The variables by which the service and its commands learn the URLs."""
        migration = {} if self.migration is None else {MIGRATION_VARIABLE: self.migration}
        return {APP_VARIABLE: self.app} | migration


def read_user_settings() -> Mapping[str, str]:
    """The environment, over the variables of `.env`. Empty values count as unset.

    TASKMANAGER_ENV_FILE names another file, empty: none. Raises StackError when the file cannot be read.
    """
    name = os.environ.get(ENV_FILE_VARIABLE, ".env")
    settings = _read_env_file(Path(name)) if name else {}
    settings |= os.environ
    return {variable: value for variable, value in settings.items() if value}


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        values = dotenv_values(path) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{path.absolute()} cannot be read: {error}") from error
    return {variable: value for variable, value in values.items() if value is not None}


def chosen_urls(settings: Mapping[str, str]) -> DatabaseUrls | None:
    """The URLs the user has set, None to start a PostgreSQL.

    Raises StackError when only the migrations' URL is set.
    """
    if APP_VARIABLE in settings:
        return DatabaseUrls(settings[APP_VARIABLE], settings.get(MIGRATION_VARIABLE))
    if MIGRATION_VARIABLE in settings:
        raise StackError(
            f"{MIGRATION_VARIABLE} is set but {APP_VARIABLE} is not: set both to use a server of yours, "
            "or neither to have one started"
        )
    return None


def write_service_env(folder: Path, urls: DatabaseUrls) -> Path:
    """Leaves the URLs where the service's commands, called from another terminal, find them. Mode 0600."""
    path = folder / SERVICE_ENV
    write_private(path, "".join(f"{name}={value}\n" for name, value in urls.environment().items()))
    return path


def remove_service_env(folder: Path) -> None:
    (folder / SERVICE_ENV).unlink(missing_ok=True)


def mask_password(url: str) -> str:
    """The URL, or libpq's keyword form, with `***` for each password."""
    masked = re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", masked, flags=re.IGNORECASE)
