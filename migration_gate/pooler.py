"""Telling a connection pooler in transaction mode, through which no session lock can be held.

Such a pooler lends the server's sessions out for a transaction at a time. A lock that belongs to a session then
belongs to whoever comes next, and two migrators can both believe that they hold it.
"""

from __future__ import annotations

from typing import Any, cast

import psycopg
from sqlalchemy.engine import Connection, Engine

from migration_gate.connection import is_pooled, look_after_client
from migration_gate.errors import LockNotAcquired

# An idle pooler hands out the session that was used last, which the first try meets; a busy one soon changes ours.
_TRIES = 5


def refuse_pooler(engine: Engine, connection: Connection) -> None:
    """Raise LockNotAcquired where the server's session is not this connection's own.

    The connection is outside any transaction before and after. A pooler in session mode is let through. Nothing is
    set in a session that may be another's, and no more than one session is asked for at a time, since a pool is small.
    """
    session = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
    if not is_pooled(session):
        return
    own = _server_process(connection)
    for _ in range(_TRIES):
        with engine.connect() as other:
            shared = _server_process(other) == own
        if shared or _server_process(connection) != own:
            raise LockNotAcquired(
                "Between here and PostgreSQL there is a connection pooler in transaction mode, which lends one"
                f" server session (process {own}) to several clients: no lock holds there.",
                solution="set MIGRATION_DATABASE_URL to PostgreSQL's own address, past the pooler",
            )
    # A pooler in session mode, which resets the session before anybody else gets it.
    look_after_client(session)


def _server_process(connection: Connection) -> int:
    """The server's process that serves this transaction."""
    process: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    return process
