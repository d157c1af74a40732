"""How long a migration's statements may wait for a lock.

A statement that waits for a table makes everybody who comes after it wait too. So inside a transaction
the wait is short. In an autocommit block it is unbounded: there stands CREATE INDEX CONCURRENTLY, which
waits for older transactions without holding anybody up, and a timeout would leave an invalid index.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection

_DURATION = re.compile(r"\d+(?:us|ms|s|min)?")


def bound_lock_waits(connection: Connection, lock_timeout: str) -> None:
    """Bound lock waits in every transaction of this connection from now on.

    Parameters
    ----------
    lock_timeout: in PostgreSQL's notation, such as `3s` or `500ms`.

    Set anew for each transaction, since a rollback undoes what a transaction has set.
    """
    if not _DURATION.fullmatch(lock_timeout):
        raise ValueError(f"lock_timeout must look like 3s or 500ms, not {lock_timeout!r}")

    @event.listens_for(connection, "begin")
    def set_lock_timeout(beginning: Connection) -> None:
        session: Any = beginning.connection.dbapi_connection
        # SQLAlchemy announces a beginning in autocommit mode as well, where SET LOCAL has no meaning.
        if session is not None and not session.autocommit:
            session.execute(f"SET LOCAL lock_timeout = '{lock_timeout}'")
