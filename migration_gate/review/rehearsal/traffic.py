"""Synthetic readers and writers: what a service's queries would feel while the migration is at work.

A reader takes what any SELECT takes: ACCESS SHARE on the table and its indexes. A writer takes what an UPDATE of one
row takes, ROW EXCLUSIVE on the table and the row's own lock, and rolls back: no trigger fires, no row is written,
and an empty table is locked all the same.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migration_gate.review.rehearsal.addresses import Connection, connect
from migration_gate.review.rehearsal.catalog import Relation

READ, WRITE = "read", "write"

MOST_CONNECTIONS = 40
# All clients together; what one client sends, it sends at least 20 ms apart.
MOST_QUERIES_PER_S = 300.0
SHORTEST_PAUSE_S = 0.02

# Longer than any sensible budget, so that a wait is measured and not cut; and an end, should nothing ever let go.
GIVE_UP_S = 60

# Shorter ones come from the machine's own scheduling as often as from a lock.
WORTH_KEEPING_S = 0.005


@dataclass(frozen=True)
class Query:
    """A query that took long. Times are seconds on the clock of `time.monotonic`."""

    pid: int
    table: int
    kind: str
    started: float
    ended: float
    gave_up: bool


class Client(threading.Thread):
    """One connection that reads or writes its tables in turn until it is told to stop."""

    def __init__(self, session: Connection, kind: str, tables: Sequence[Relation], pause_s: float) -> None:
        super().__init__(name=f"rehearsal-{kind}", daemon=True)
        self.session = session
        self.pid = session.info.backend_pid
        self.slow: list[Query] = []
        self.queries = 0
        self.lost: list[tuple[Relation, str]] = []
        self.stop = threading.Event()
        self._kind = kind
        self._tables = list(tables)
        self._pause_s = pause_s

    def run(self) -> None:
        while self._tables:
            for table in tuple(self._tables):
                if self.stop.wait(self._pause_s):
                    return
                if not self._ask(table):
                    return

    def _ask(self, table: Relation) -> bool:
        """Whether the session is still of use."""
        started = time.monotonic()
        gave_up = False
        try:
            self.session.execute(_statement(self._kind, table))
        except psycopg.errors.QueryCanceled:
            gave_up = True
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            # Renamed, dropped, or not to be read by this role: code that still runs would fail in the same way.
            self._tables.remove(table)
            self.lost.append((table, error.sqlstate or "?"))
        except psycopg.Error:
            # A deadlock, say; the end of the session is seen below.
            pass
        ended = time.monotonic()
        self.queries += 1
        if ended - started >= WORTH_KEEPING_S:
            self.slow.append(Query(self.pid, table.oid, self._kind, started, ended, gave_up))
        with contextlib.suppress(psycopg.Error):
            self.session.rollback()
        return not self.session.closed


class Load:
    """Readers and writers on all `tables`, running inside the `with` block."""

    def __init__(self, address: str, tables: Sequence[Relation]) -> None:
        self._address = address
        self._tables = tables
        self.clients: list[Client] = []

    def __enter__(self) -> Load:
        if not self._tables:
            return self
        try:
            self._connect()
        except BaseException:
            self._close()
            raise
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def warm(self) -> bool:
        """Whether each client has asked at least once."""
        return all(client.queries or not client.is_alive() for client in self.clients)

    @property
    def slow(self) -> list[Query]:
        return [query for client in self.clients for query in client.slow]

    @property
    def lost(self) -> dict[Relation, str]:
        """Tables that could no longer be asked, with the SQLSTATE."""
        return {table: sqlstate for client in self.clients for table, sqlstate in client.lost}

    def _connect(self) -> None:
        """One connection a table and kind, fewer where the server has not that many to give."""
        for kind in (READ, WRITE):
            several = self._shares()
            for share in several:
                name = f"{kind} {share[0].name}" if len(share) == 1 else f"{kind} {len(share)} tables"
                session = connect(self._address, name, options=f"-c statement_timeout={GIVE_UP_S}s")
                pause_s = max(SHORTEST_PAUSE_S, 2 * len(several) / MOST_QUERIES_PER_S)
                self.clients.append(Client(session, kind, share, pause_s))

    def _shares(self) -> list[Sequence[Relation]]:
        count = min(len(self._tables), _free_connections(self._address) // 2)
        return [self._tables[first::count] for first in range(count)]

    def _close(self) -> None:
        for client in self.clients:
            client.stop.set()
        for client in self.clients:
            if client.is_alive():
                client.join(timeout=0.5)
                if client.is_alive():
                    with contextlib.suppress(psycopg.Error):
                        client.session.cancel_safe(timeout=2)
                    client.join(timeout=5)
            client.session.close()


def _statement(kind: str, table: Relation) -> sql.Composed:
    name = sql.Identifier(table.schema, table.name)
    if kind == READ:
        return sql.SQL("SELECT 1 FROM {} LIMIT 1").format(name)
    return sql.SQL(
        "BEGIN; LOCK TABLE ONLY {table} IN ROW EXCLUSIVE MODE;"
        " SELECT 1 FROM ONLY {table} LIMIT 1 FOR NO KEY UPDATE; ROLLBACK"
    ).format(table=name)


def _free_connections(address: str) -> int:
    """How many connections may be taken: half of what is free, and at least two."""
    with contextlib.closing(connect(address, "count")) as session:
        row = session.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int"
        ).fetchone()
    free = int(str(row[0])) if row else 0
    return max(2, min(MOST_CONNECTIONS, free // 2))
