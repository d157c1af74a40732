"""Telling a connection pooler in transaction mode, through which no session lock can be held.

Such a pooler lends the server's sessions out for a transaction at a time. A lock that belongs to a session then
belongs to whoever comes next, and two migrators can both believe that they hold it.
"""

from __future__ import annotations

import secrets

from sqlalchemy.engine import Connection, Engine

from migration_gate.errors import LockNotAcquired

# A pooler hands out an idle session that it has; one of these tries meets the one that was marked.
_TRIES = 8


def refuse_pooler(engine: Engine, connection: Connection) -> None:
    """Raise LockNotAcquired where the server's session is not this connection's own.

    The connection is outside any transaction before and after. A pooler in session mode is let through.
    """
    wire = connection.connection.dbapi_connection
    told = wire.info.backend_pid if wire is not None else 0
    own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    # PostgreSQL tells each client the number of its session; a pooler makes up a number of its own.
    if told == own:
        return
    mark = secrets.token_hex(8)
    connection.exec_driver_sql("SELECT set_config('migration_gate.session', %s, false)", (mark,))
    connection.commit()
    others: list[Connection] = []
    try:
        for _ in range(_TRIES):
            other = engine.connect()
            others.append(other)
            # Left open, so that the next try gets another session.
            seen = other.exec_driver_sql("SELECT current_setting('migration_gate.session', true)").scalar_one()
            if seen == mark:
                raise LockNotAcquired(
                    "Between here and PostgreSQL there is a connection pooler in transaction mode, which lends one"
                    f" server session (process {own}) to several clients: no lock holds there.",
                    solution="set MIGRATION_DATABASE_URL to PostgreSQL's own address, past the pooler",
                )
    finally:
        for other in others:
            other.close()
