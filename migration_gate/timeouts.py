"""How long a migration's statements may wait and work, by class of statement.

A statement that waits for a table makes everybody who comes after it wait too. So inside a transaction, and for
ordinary statements outside one, the wait is short, and whoever is refused tries again later. CREATE INDEX
CONCURRENTLY and its like wait for older transactions without holding anybody up, and a timeout would leave an
invalid index: they wait as long as it takes. How long a statement works is not bounded: the role's own
timeouts, meant for requests, must not end a migration a minute before it is done.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection

_DURATION = re.compile(r"\d+(?:us|ms|s|min)?")
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)

# Of the session, so that they hold in every transaction and outside one. transaction_timeout is PostgreSQL 17's.
LIFTED_SETTINGS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")


def is_concurrent(statement: str) -> bool:
    """Whether the statement waits for others without others waiting for it."""
    return _CONCURRENTLY.search(statement) is not None


def lift_role_timeouts(connection: Connection) -> dict[str, str]:
    """Take the role's and the database's own timeouts away from this session, and return those that were set."""
    rows = connection.exec_driver_sql(
        "SELECT name, setting || coalesce(unit, '') FROM pg_settings WHERE name = ANY(%s) AND setting <> '0'",
        (list(LIFTED_SETTINGS),),
    ).all()
    lifted = {str(name): str(value) for name, value in rows}
    for name in lifted:
        connection.exec_driver_sql(f"SET {name} = 0")
    connection.commit()
    return lifted


def checked(lock_timeout: str) -> str:
    """`lock_timeout` itself, in PostgreSQL's notation.

    Raises
    ------
    ValueError: it is no such notation.
    """
    if not _DURATION.fullmatch(lock_timeout):
        raise ValueError(f"lock_timeout must look like 3s or 500ms, not {lock_timeout!r}")
    return lock_timeout


def bound_lock_waits(connection: Connection, lock_timeout: str) -> None:
    """Bound lock waits in every transaction of this connection from now on.

    Parameters
    ----------
    lock_timeout: in PostgreSQL's notation, such as `3s` or `500ms`.

    Set anew for each transaction, since a rollback undoes what a transaction has set.
    """
    wait = checked(lock_timeout)

    @event.listens_for(connection, "begin")
    def set_lock_timeout(beginning: Connection) -> None:
        session: Any = beginning.connection.dbapi_connection
        # SQLAlchemy announces a beginning in autocommit mode as well, where SET LOCAL has no meaning.
        if session is not None and not session.autocommit:
            session.execute(f"SET LOCAL lock_timeout = '{wait}'")
