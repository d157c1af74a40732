"""The temporary database: made under a name of ours, and dropped whatever happens."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.faults import primary_message
from migration_gate.postgres.url import on_same_server
from migration_gate.review.rehearsal.addresses import Connection, connect
from migration_gate.review.rehearsal.source import Source
from migration_gate.scratch_database import drop_database

_NAME = re.compile(r"migration_gate_rehearsal_\d{8}_[0-9a-f]{8}")
_COMMENT = "migration-gate rehearse: temporary, made by "


@dataclass(frozen=True)
class Leftover:
    """A temporary database that outlived its rehearsal. `sessions` are still connected to it."""

    name: str
    made_by: str
    sessions: int


@contextmanager
def temporary_database(
    server: Connection, scratch_url: str, source: Source, notes: list[str], *, keep: bool
) -> Iterator[str]:
    """The address of a new, empty database with the source's encoding, locale and settings.

    Raises
    ------
    MigrationGateError: the role may not create databases.
    """
    name = f"migration_gate_rehearsal_{datetime.now(UTC):%Y%m%d}_{secrets.token_hex(4)}"
    try:
        _create(server, name, source, notes)
        address = on_same_server(scratch_url, name)
        # As long as this session lives, `--clean` of somebody else sees that the database is in use.
        with contextlib.closing(connect(address, "keeper", options="-c idle_session_timeout=0")):
            yield address
    finally:
        if not keep:
            _drop(scratch_url, name)


def leftovers(server: Connection) -> tuple[Leftover, ...]:
    """Databases that bear both our name and our comment."""
    rows = server.execute(
        """SELECT d.datname::text, shobj_description(d.oid, 'pg_database'),
                  (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)
           FROM pg_database d WHERE d.datname LIKE 'migration\\_gate\\_rehearsal\\_%' ORDER BY 1"""
    ).fetchall()
    return tuple(
        Leftover(str(name), str(comment).removeprefix(_COMMENT), int(str(sessions)))
        for name, comment, sessions in rows
        if _NAME.fullmatch(str(name)) and str(comment).startswith(_COMMENT)
    )


def clean(server: Connection, say: Callable[[str], None]) -> int:
    """Drop the leftovers that nobody is connected to, and return how many are still there."""
    remaining = 0
    for leftover in leftovers(server):
        try:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(leftover.name)))
        except psycopg.Error as error:
            remaining += 1
            say(f"{leftover.name} (made by {leftover.made_by}) stays: {primary_message(error)}")
        else:
            say(f"dropped {leftover.name} (made by {leftover.made_by})")
    return remaining


def _create(server: Connection, name: str, source: Source, notes: list[str]) -> None:
    locale = sql.SQL(" ").join(
        sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(value)) for option, value in source.locale.items()
    )
    plain = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
        sql.Identifier(name), sql.Literal(source.locale["ENCODING"])
    )
    try:
        try:
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(name), locale))
        except psycopg.errors.InsufficientPrivilege:
            raise
        except psycopg.Error as error:
            # The scratch server may lack the locale: then only the order of texts differs.
            server.execute(plain)
            notes.append(f"the source's locale could not be had on the scratch server: {primary_message(error)}")
    except psycopg.errors.InsufficientPrivilege:
        raise MigrationGateError(
            "The role of --scratch-url may not create a database.",
            solution="ALTER ROLE … CREATEDB, or use another role",
        ) from None
    made_by = f"{socket.gethostname()}, process {os.getpid()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    server.execute(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(_COMMENT + made_by))
    )
    for setting, value in source.settings:
        _copy_setting(server, name, setting, value, notes)


def _copy_setting(server: Connection, name: str, setting: str, value: str, notes: list[str]) -> None:
    """Through this session: a list such as search_path stands in the catalog in a form that only the server reads."""
    if setting in {"role", "session_authorization", "default_transaction_read_only"}:
        return
    parameter = sql.Identifier(setting)
    try:
        server.execute("SELECT set_config(%s, %s, false)", [setting, value])
        server.execute(sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT").format(sql.Identifier(name), parameter))
        server.execute(sql.SQL("RESET {}").format(parameter))
    except psycopg.Error as error:
        notes.append(f"the source's setting {setting} could not be taken over: {primary_message(error)}")


def _drop(scratch_url: str, name: str) -> None:
    """On a session of its own: the other may be in the middle of something when a signal ends the rehearsal."""
    try:
        with contextlib.closing(connect(scratch_url, "drop")) as server:
            drop_database(server, name)
    except (psycopg.Error, MigrationGateError) as error:
        raise MigrationGateError(
            f"The temporary database {name} could not be dropped: {primary_message(error) or error}",
            solution="migration-gate rehearse --clean, once the server can be reached",
        ) from error
