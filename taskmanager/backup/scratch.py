"""A database to try a backup in, dropped afterwards; and those that a killed process left, dropped by the next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from migration_gate.errors import MigrationGateError
from migration_gate.scratch_database import scratch_database
from taskmanager.backup.connecting import Connection, connected
from taskmanager.backup.errors import BackupError

VARIABLE = "TASKMANAGER_BACKUP_SCRATCH_URL"

# Between making a database and the first session in it pass milliseconds.
_SURELY_CONNECTED_S = 60
_LEFT = """
    SELECT datname::text FROM pg_database d
    WHERE datname ~ '^migration_gate_backup_[0-9]{1,12}_[0-9a-f]{12}$' AND pg_has_role(current_user, datdba, 'MEMBER')
      AND split_part(datname, '_', 4)::bigint < %s
      AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
"""
_MAY = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"


class NoScratch(BackupError):
    """No database may be made, or none could be: the backup cannot be tried."""


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """The address of a new, empty database on the server of `url`.

    A session stays in it as long as it is wanted, so that one without a session was left by somebody.

    Raises
    ------
    NoScratch: the role may not make one, or the server could not.
    BackupError: the server cannot be reached.
    """
    with connected(url) as connection:
        row = connection.execute(_MAY).fetchone()
        if not row or not row[0]:
            raise NoScratch(
                "the role may not make a database to try the backup in",
                solution=f"ALTER ROLE … CREATEDB, or name a role that may, on any server, in {VARIABLE}",
            )
        _drop_what_was_left(connection)
    try:
        with scratch_database(url, f"backup_{int(time.time())}", named_by=VARIABLE) as made, connected(made):
            yield made
    except MigrationGateError as error:
        raise NoScratch(error.message, solution=error.solution) from None


def _drop_what_was_left(connection: Connection) -> None:
    for (name,) in connection.execute(_LEFT, [int(time.time()) - _SURELY_CONNECTED_S]).fetchall():
        try:
            # Without FORCE: who has come in meanwhile keeps it.
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        except psycopg.Error:
            continue
