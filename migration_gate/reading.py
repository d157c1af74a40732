"""How the gate reads a database: generators that yield SQL and are sent rows, so that any driver can run them.

    reading = observe.observation()
    sql = next(reading)
    while True:
        try:
            rows = <run sql on a driver>          # or reading.throw(SqlFault(sqlstate, message))
            sql = reading.send(rows)
        except StopIteration as end:
            return end.value

asyncpg in a service, psycopg in a command and a table of canned rows in a test all run the very same statements. Every
statement is a read, and none takes a lock stronger than ACCESS SHARE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Rows = Sequence[Sequence[Any]]


class SqlFault(Exception):
    """PostgreSQL refused a statement. `sqlstate` is its five characters, `message` its primary message."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate
        self.message = message
