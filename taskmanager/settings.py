"""Every setting, its variable and its default.

Settings come from the environment, else from `.env` in the working directory. The two database addresses
are taken together from one place, the first that names either: an address for serving from one file and one
for migrating from another would migrate a database that nobody serves. What is secret may stand in a file of its
own, which `NAME_FILE` names in the place of `NAME`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from migration_gate.gate import Mode
from migration_gate.postgres.url import UnusableUrl, plain_url
from taskmanager import database_address
from taskmanager.access.cors import ANY_ORIGIN, read_origins
from taskmanager.access.keys import faults_of
from taskmanager.observability.sentry_dsn import checked_dsn
from taskmanager.settings_sources import Given, SettingsError, read_env_file

__all__ = [
    "NO_DATABASE",
    "PREFIX",
    "UNUSABLE_SETTINGS",
    "Auth",
    "Docs",
    "Environment",
    "LogFormat",
    "LogLevel",
    "Migrate",
    "Settings",
    "SettingsError",
    "load_settings",
    "variable_of",
]

PREFIX = "TASKMANAGER_"

# `make run` tells here where its own PostgreSQL listens, for as long as it runs.
LOCAL_SERVICE_FILE = Path(".data/service.env")


NO_DATABASE = (
    "DATABASE_URL: no database is named; set it (DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE,"
    " in the environment or in .env; or DATABASE_URL_FILE, a file that holds it),"
    " or start everything with: make run; for a make run with a DATA folder of its own:"
    " TASKMANAGER_ENV_FILE=DATA/service.env"
)


# EX_CONFIG of sysexits.h: starting again changes nothing, somebody has to change a setting.
UNUSABLE_SETTINGS = 78


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Migrate(StrEnum):
    ON_START = "on_start"  # in a child process, while the service already answers
    NEVER = "never"


class Auth(StrEnum):
    NONE = "none"  # anybody who reaches the port
    API_KEY = "api_key"


class Docs(StrEnum):
    ON = "on"
    OFF = "off"


class LogFormat(StrEnum):
    AUTO = "auto"  # json in production, console in development
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# Settings that have a name which other programs know them by. All of them are secrets, and may stand in a file each.
_USUAL_NAMES = {
    "database_url": "DATABASE_URL",
    "migration_database_url": "MIGRATION_DATABASE_URL",
    "sentry_dsn": "SENTRY_DSN",
}


def variable_of(field: str) -> str:
    """The variable that sets a field of `Settings`."""
    return _USUAL_NAMES.get(field) or PREFIX + field.upper()


def _read_origins(value: Any) -> Any:
    return read_origins(value) if isinstance(value, str) else value


class Settings(BaseModel):
    """The service's settings. A field's variable is TASKMANAGER_ and its name, unless it says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: Annotated[str | None, Field(repr=False)] = None
    """`DATABASE_URL`: where requests are served from, as the role that reads and writes."""

    migration_database_url: Annotated[str | None, Field(repr=False)] = None
    """`MIGRATION_DATABASE_URL`: the same database as the role that owns it; otherwise `DATABASE_URL`."""

    env: Environment = Environment.DEVELOPMENT
    migrate: Migrate = Migrate.NEVER
    schema_gate: Mode = Mode.ENFORCE
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO

    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of one process to PostgreSQL, at most. Two more watch the schema and the server."""

    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Requests in work at once, at most; those beyond it are answered 503 at once."""

    auth: Auth | None = None
    """Who may call; unset, `auth_mode` follows `env`."""

    keys: Annotated[str | None, Field(repr=False)] = None
    """Lines of keys, newlines or semicolons between them; see taskmanager/access/key_lines.py."""

    keys_file: Path | None = None
    """A file of such lines, followed while it changes. The keys of both count."""

    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_read_origins)] = ()
    """Origins whose pages may call from a browser, commas between them; `*` only in development."""

    docs: Docs | None = None
    """The documentation's pages and /openapi.json; unset, on in development and off in production."""

    commit: str | None = None
    """The commit that the image was built from, told by /version."""

    disk_folder: Path | None = None
    """A folder on the file system that holds the data, where this process can see it: its free room is a metric."""

    backup_folder: Path | None = None
    """Where `taskmanager backup` puts backups; unset, .data/backups."""

    backup_scratch_url: Annotated[str | None, Field(repr=False)] = None
    """A server, as a role that may make databases, on which each backup is restored once; unset, the database's own."""

    sentry_dsn: Annotated[str | None, AfterValidator(checked_dsn), Field(repr=False)] = None
    """`SENTRY_DSN`: where faults are reported; unset, nowhere."""

    def migration_url(self) -> str | None:
        return self.migration_database_url or self.database_url

    @property
    def logs_as_json(self) -> bool:
        if self.log_format is LogFormat.AUTO:
            return self.env is Environment.PRODUCTION
        return self.log_format is LogFormat.JSON

    @property
    def auth_mode(self) -> Auth:
        if self.auth is None:
            return Auth.API_KEY if self.env is Environment.PRODUCTION else Auth.NONE
        return self.auth

    @property
    def docs_served(self) -> bool:
        if self.docs is None:
            return self.env is not Environment.PRODUCTION
        return self.docs is Docs.ON

    def violations(self) -> list[str]:
        """What is unsafe, a line for each thing, with its variable and what to do; `serve` refuses on any.

        Reads the file of keys, and the variables that the database's drivers read.
        """
        found = faults_of(self.keys, self.keys_file) if self.auth_mode is Auth.API_KEY else []
        if self.env is not Environment.PRODUCTION:
            return found
        if self.auth_mode is Auth.NONE:
            found.append(_NO_AUTH)
        found += self.address_violations()
        if ANY_ORIGIN in self.cors_origins:
            found.append(_ANY_ORIGIN)
        return found

    def address_violations(self) -> list[str]:
        """What is unsafe about the database's addresses in production; in development nothing is."""
        if self.env is not Environment.PRODUCTION:
            return []
        addresses = {
            "DATABASE_URL": self.database_url,
            "MIGRATION_DATABASE_URL": self.migration_database_url,
            f"{PREFIX}BACKUP_SCRATCH_URL": self._readable_scratch_url(),
        }
        return [line for name, url in addresses.items() if url for line in database_address.violations(name, url)]

    def _readable_scratch_url(self) -> str | None:
        """None also where it is no address: the verb that uses it says so, and nobody else is kept from starting."""
        try:
            return plain_url(self.backup_scratch_url) if self.backup_scratch_url else None
        except UnusableUrl:
            return None


_NO_AUTH = (
    f"{PREFIX}AUTH: with none, anybody who reaches the port reads and changes every task; in production set api_key"
    f" (or leave it unset) and {PREFIX}KEYS_FILE"
)

_ANY_ORIGIN = (
    f"{PREFIX}CORS_ORIGINS: with *, every web page may call; in production name the origins that may:"
    " https://app.example.com"
)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    environment: the variables, otherwise those of the process. TASKMANAGER_ENV_FILE among them names the
        file that is read beneath them, otherwise `.env`; empty, no file is read at all.

    Raises
    ------
    SettingsError: a variable has a value that cannot be used, or is not known.
    """
    variables = os.environ if environment is None else environment
    file_name = variables.get(PREFIX + "ENV_FILE", ".env")
    if PREFIX + "ENV_FILE" in variables and file_name and not Path(file_name).is_file():
        raise SettingsError(f"{PREFIX}ENV_FILE: there is no file {file_name}")
    file = read_env_file(file_name)
    local = read_env_file(str(LOCAL_SERVICE_FILE)) if file_name else {}
    _refuse_where_it_is_not_read(file_name, file, variables)
    values = _own(file) | _own(variables) | _addresses(variables, file, local) | _dsn(variables, file)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(fault) for fault in error.errors())) from None


# Variables with our prefix that other programs of the project read.
_NOT_OURS = {
    "env_file",
    "postgres_bin",
    "image",
    "incidents_alertmanager",
    "incidents_key",
    "incidents_key_file",
    "incidents_url",
    "incidents_webhook_url",
    "incidents_webhook_url_file",
    "metrics_key_file",
}

# What Kubernetes puts into every pod of a namespace that has a Service named `taskmanager`.
_OF_KUBERNETES = re.compile(r"service_host|service_port(_\w+)?|port(_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)?")

_VERBATIM = {"backup_folder", "backup_scratch_url", "commit", "disk_folder", "keys", "keys_file"}

_ADDRESSES = ("database_url", "migration_database_url")


def _refuse_where_it_is_not_read(file_name: str, file: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """OpenTelemetry reads its variables itself, and knows nothing of our file: they would be lost without a word."""
    lost = sorted(name for name, value in file.items() if name.startswith("OTEL_") and value and name not in variables)
    if lost:
        raise SettingsError(
            f"{file_name}: {', '.join(lost)}: OpenTelemetry reads its variables from the environment alone;"
            " set them there"
        )


def _own(variables: Mapping[str, str]) -> dict[str, Any]:
    names = {name: name.removeprefix(PREFIX).lower() for name in variables if name.startswith(PREFIX)}
    for name, field in names.items():
        if field in _USUAL_NAMES:
            # A second name would leave open which of the two counts.
            raise SettingsError(_unknown(name))
    return {
        # People write INFO and ON_START too; no value of ours depends on its case.
        field: variables[name].lower() if field not in _VERBATIM else variables[name]
        for name, field in names.items()
        if variables[name] and field not in _NOT_OURS and not _OF_KUBERNETES.fullmatch(field)
    }


def _addresses(*sources: Mapping[str, str]) -> dict[str, str]:
    for source in sources:
        found = {field: given for field in _ADDRESSES if (given := Given.secret(source, _USUAL_NAMES[field]))}
        if found:
            return {field: _plain(given) for field, given in found.items()}
    return {}


def _dsn(*sources: Mapping[str, str]) -> dict[str, str]:
    given = (Given.secret(source, _USUAL_NAMES["sentry_dsn"]) for source in sources)
    return next(({"sentry_dsn": first.value} for first in given if first), {})


def _plain(url: Given) -> str:
    try:
        return plain_url(url.value)
    except UnusableUrl as error:
        raise SettingsError(f"{url.variable}: {error}") from None


def _fault(fault: Any) -> str:
    variable = variable_of(str(fault["loc"][0]))
    if fault["type"] == "extra_forbidden":
        return _unknown(variable)
    return f"{variable}: {fault['msg'].removeprefix('Value error, ')}"


def _unknown(variable: str) -> str:
    known = ", ".join(sorted(variable_of(name) for name in Settings.model_fields if name not in _USUAL_NAMES))
    return f"{variable}: no such setting; there are {known}"
