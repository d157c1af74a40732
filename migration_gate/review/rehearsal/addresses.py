"""Sessions on the two databases of a rehearsal, and addresses as PostgreSQL's own programs take them."""

from __future__ import annotations

import os

import psycopg
from psycopg import conninfo

from migration_gate.errors import DatabaseUnreachable
from migration_gate.postgres.faults import describe_connect
from migration_gate.postgres.url import masked_url, plain_url

#: All sessions of a rehearsal begin their name with this, but for the migration's own.
SESSION_PREFIX = "migration_gate_rehearsal"

Connection = psycopg.Connection[tuple[object, ...]]


def connect(address: str, name: str, *, options: str = "") -> Connection:
    """A session in autocommit mode, named after its work. `options` are server settings as libpq takes them.

    Raises
    ------
    DatabaseUnreachable: no session could be had.
    """
    plain = plain_url(address)
    try:
        given = conninfo.conninfo_to_dict(plain)
        settings = " ".join(part for part in (str(given.get("options") or ""), options) if part)
        return psycopg.connect(
            plain,
            autocommit=True,
            # The load sends several statements in one message, which a prepared statement cannot hold.
            prepare_threshold=None,
            application_name=f"{SESSION_PREFIX} {name}",
            connect_timeout=str(given.get("connect_timeout") or 5),
            options=settings or None,
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        fault = describe_connect(error)
        raise DatabaseUnreachable(
            f"{masked_url(address)}: {fault.message}.", transient=fault.transient, solution=fault.solution
        ) from None


def connect_reading(address: str, name: str) -> Connection:
    """A session that cannot write, and whose statements end after half a minute."""
    session = connect(address, name, options="-c default_transaction_read_only=on -c statement_timeout=30s")
    session.read_only = True
    return session


def for_program(address: str, name: str, *, read_only: bool = False) -> tuple[str, dict[str, str]]:
    """`--dbname` for pg_dump and pg_restore, and their environment: the password stands only in the latter."""
    parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(plain_url(address)).items() if value}
    environment = dict(os.environ)
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    if read_only:
        parts["options"] = f"{parts.get('options', '')} -c default_transaction_read_only=on".strip()
    parts.setdefault("connect_timeout", "5")
    parts["application_name"] = f"{SESSION_PREFIX} {name}"
    return conninfo.make_conninfo("", **parts), environment


def database_of(address: str) -> str:
    """The database's name in an address, empty where it names none."""
    return str(conninfo.conninfo_to_dict(plain_url(address)).get("dbname") or "")
