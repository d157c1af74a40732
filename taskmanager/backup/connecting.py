"""Sessions on a database, and its address as PostgreSQL's own programs take it.

An argument can be read by everybody on the machine, so the address goes into the environment and the password into a
file that only this user reads, for as long as the program runs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, pq

from migration_gate.postgres.faults import describe_connect
from migration_gate.postgres.url import masked_url
from taskmanager.backup.errors import BackupError, NotReachable
from taskmanager.observability.privacy import scrubbed, without_addresses

APPLICATION_NAME = "taskmanager backup"
CONNECT_TIMEOUT_S = 10

# How a session keeps itself alive: the program's own defaults do.
_NEEDLESS = frozenset(
    {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslcompression"}
)
_TLS_IS_DEMANDED = frozenset({"require", "verify-ca", "verify-full"})

Connection = psycopg.Connection[Any]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A session outside any transaction, closed at the end.

    Raises
    ------
    NotReachable: none can be had, or it was lost meanwhile.
    BackupError: PostgreSQL refused a statement.
    """
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=APPLICATION_NAME,
            prepare_threshold=None,
        )
    except (psycopg.Error, OSError) as error:
        fault = describe_connect(error)
        raise NotReachable(f"{masked_url(url)}: {fault.message}", solution=fault.solution) from None
    try:
        yield connection
    except psycopg.Error as error:
        if connection.closed:
            raise NotReachable(f"{masked_url(url)}: the session was lost: {told_of_server(error)}") from None
        raise BackupError(f"PostgreSQL refused a statement: {told_of_server(error)}") from None
    finally:
        connection.close()


def told_of_server(error: psycopg.Error) -> str:
    """PostgreSQL's primary message; its details quote rows."""
    primary = error.diag.message_primary
    if primary and error.sqlstate:
        return without_addresses(scrubbed(f"{primary} (SQLSTATE {error.sqlstate})"))
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return without_addresses(scrubbed(first))


def server_version(connection: Connection) -> tuple[int, str]:
    """Its major version, and the whole of it as it says: (18, "18.6")."""
    number = connection.info.server_version
    text = connection.info.parameter_status("server_version") or str(number // 10000)
    return number // 10000, text.split()[0]


@dataclass(frozen=True)
class ToolAddress:
    """Where a program is to connect: the variables that say so to libpq."""

    environment: dict[str, str]
    demands_tls: bool


@contextmanager
def tool_address(url: str) -> Iterator[ToolAddress]:
    """The address for pg_dump and pg_restore.

    Raises
    ------
    BackupError: the address has a parameter that they cannot be given safely.
    """
    known = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    parameters = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    password = parameters.pop("password", None)
    environment = dict(os.environ)
    for name, value in parameters.items():
        variable = known.get(name)
        if variable is not None:
            environment[variable.decode()] = value
        elif name not in _NEEDLESS:
            raise BackupError(
                f"the address has the parameter {name}, which pg_dump takes from its arguments alone, where"
                " everybody on this machine can read it",
                solution="leave it out of MIGRATION_DATABASE_URL",
            )
    environment.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT_S))
    environment["PGAPPNAME"] = APPLICATION_NAME
    # What is read from their messages is English, and they ask nobody for a password.
    environment["LC_MESSAGES"] = "C"
    environment.pop("LC_ALL", None)
    demands_tls = environment.get("PGSSLMODE", "") in _TLS_IS_DEMANDED
    with tempfile.TemporaryDirectory(prefix="taskmanager-backup-") as folder:
        if password is not None:
            environment.pop("PGPASSWORD", None)
            environment["PGPASSFILE"] = str(_password_file(Path(folder, "passfile"), password))
        yield ToolAddress(environment, demands_tls)


def _password_file(file: Path, password: str) -> Path:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    file.touch(0o600)
    file.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
    return file
