"""In the migrating process: every statement as it begins and ends, and what it holds, rewrote and read.

SQLAlchemy tells of each statement, whichever engine env.py makes. Around those of a migration the very session
that migrates is asked what only it can see before it commits: its locks, the files behind its tables, its own
counters. The answers go to the rehearsing process as one JSON object a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from migration_gate.postgres.faults import primary_message
from migration_gate.review.rehearsal.measured import OF_ROWS

# Users' objects begin at 16384; below are the catalogs, which every statement locks a little.
_LOCKS = """
    SELECT l.relation::bigint, l.mode FROM pg_locks l
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

_COUNTERS = """
    SELECT relid::bigint, seq_scan, seq_tup_read, coalesce(idx_scan, 0) FROM pg_stat_xact_all_tables
    WHERE relid >= 16384 AND (seq_scan > 0 OR idx_scan > 0)"""

_FILES = """
    SELECT c.oid::bigint, c.relfilenode::bigint, coalesce(i.indrelid, 0)::bigint, n.nspname || '.' || c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm', 'i') AND n.nspname NOT LIKE 'pg\\_%'"""

Place = tuple[str, str, int]  # revision, file, line
Counters = dict[int, tuple[int, int, int]]
Files = dict[int, tuple[int, int, str]]


@dataclass(frozen=True)
class Refusal:
    """PostgreSQL's no to a statement: its primary message without values, its SQLSTATE, and where it was asked."""

    message: str
    sqlstate: str | None
    place: Place | None


@dataclass
class _Session:
    """What was last known of one server session."""

    held: set[tuple[int, str]] = field(default_factory=set)
    open: int | None = None  # number of the statement under way
    files: Files = field(default_factory=dict)
    counters: Counters = field(default_factory=dict)


class Recorder:
    """Listens to every engine of this process and writes to `channel`.

    Parameters
    ----------
    allowed: whether a session with such parameters may be made at all; otherwise it is refused with an error.
    """

    def __init__(self, channel: TextIO, allowed: Callable[[dict[str, Any]], bool]) -> None:
        self._channel = channel
        self._allowed = allowed
        self._sessions: dict[int, _Session] = {}
        self._number = 0
        self.last_place: Place | None = None
        #: How long the questions to the migrating session took, which nobody would ask outside a rehearsal (seconds).
        self.spent_s = 0.0
        self.last_refusal: Refusal | None = None

    def listen(self) -> None:
        event.listen(Engine, "do_connect", self._connecting)
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        event.listen(Engine, "handle_error", self._failed)
        event.listen(Engine, "begin", lambda connection: self._tell(connection, "begin"))
        event.listen(Engine, "commit", lambda connection: self._ends(connection, "commit"))
        event.listen(Engine, "rollback", lambda connection: self._ends(connection, "rollback"))

    def emit(self, kind: str, **facts: Any) -> None:
        """Write one event with the time of the clock that all processes of a machine share."""
        self._channel.write(json.dumps({"at": time.monotonic(), "kind": kind} | facts) + "\n")
        self._channel.flush()

    def _connecting(self, _dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        if not self._allowed(parameters):
            raise RuntimeError("a rehearsal connects to nothing but its own temporary database")

    def _tell(self, connection: Connection, kind: str) -> None:
        driver = _driver(connection)
        if driver is not None:
            self.emit(kind, pid=driver.info.backend_pid)

    def _ends(self, connection: Connection, kind: str) -> None:
        driver = _driver(connection)
        if driver is not None:
            self._sessions.pop(driver.info.backend_pid, None)
            self.emit(kind, pid=driver.info.backend_pid)

    def _before(
        self, connection: Connection, _cursor: Any, sql: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        driver = _driver(connection)
        if driver is None:
            return
        pid = driver.info.backend_pid
        session = self._sessions.setdefault(pid, _Session())
        place = migration_place()
        usable = driver.info.transaction_status is not TransactionStatus.INERROR
        began = time.monotonic()
        if usable and not driver.autocommit:
            self._report_unseen(driver, session, pid)
        if usable and place is not None:
            session.counters = _counters(driver)
            session.files = _files(driver) if _writes_files(sql) else {}
        self.spent_s += time.monotonic() - began
        if place is None:
            self.emit("other", pid=pid)
            return
        self._number += 1
        session.open = self._number
        self.last_place = place
        revision, file, line = place
        where = {"revision": revision, "file": file, "line": line}
        self.emit("before", pid=pid, number=self._number, sql=sql, autocommit=driver.autocommit, **where)

    def _after(
        self, connection: Connection, _cursor: Any, sql: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        at = time.monotonic()
        driver = _driver(connection)
        session = self._sessions.get(driver.info.backend_pid) if driver is not None else None
        if driver is None or session is None:
            return
        held = set() if driver.autocommit else _locks(driver)
        number, session.open = session.open, None
        if number is not None:
            facts: dict[str, Any] = {
                "new": sorted(held - session.held),
                "gone": sorted(session.held - held),
                "scans": None if driver.autocommit else _grown(session.counters, _counters(driver)),
                "changes": _changed(session.files, _files(driver)) if _writes_files(sql) else {},
            }
            self.emit("after", pid=driver.info.backend_pid, number=number, ended=at, **facts)
        session.held = held
        self.spent_s += time.monotonic() - at

    def _failed(self, failure: Any) -> None:
        original = failure.original_exception
        sqlstate = getattr(original, "sqlstate", None)
        self.last_refusal = Refusal(primary_message(original) or type(original).__name__, sqlstate, self.last_place)
        driver = _driver(failure.connection) if failure.connection is not None else None
        session = self._sessions.get(driver.info.backend_pid) if driver is not None else None
        if driver is None or session is None or session.open is None:
            return
        number, session.open = session.open, None
        self.emit("error", pid=driver.info.backend_pid, number=number, sqlstate=sqlstate or "?")

    def _report_unseen(self, driver: Any, session: _Session, pid: int) -> None:
        """Locks that came between two statements were taken by something that does not go through SQLAlchemy."""
        held = _locks(driver)
        if new := sorted(held - session.held):
            self._number += 1
            self.emit("unseen", pid=pid, number=self._number, new=new)
        session.held = held


def migration_place() -> Place | None:
    """Revision, file and line of the migration that is at work on this thread, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        names = frame.f_globals
        if "down_revision" in names and isinstance(names.get("revision"), str):
            return names["revision"], frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _driver(connection: Connection | None) -> Any:
    """psycopg's connection, or None for another driver's."""
    session: Any = None if connection is None or connection.closed else connection.connection.dbapi_connection
    driver = getattr(session, "driver_connection", session)
    return driver if isinstance(driver, psycopg.Connection) and not driver.closed else None


def _locks(driver: Any) -> set[tuple[int, str]]:
    return {(row[0], row[1]) for row in driver.cursor().execute(_LOCKS).fetchall()}


def _counters(driver: Any) -> Counters:
    return {row[0]: tuple(row[1:]) for row in driver.cursor().execute(_COUNTERS).fetchall()}


def _files(driver: Any) -> Files:
    return {row[0]: tuple(row[1:]) for row in driver.cursor().execute(_FILES).fetchall()}


def _writes_files(sql: str) -> bool:
    """Asking for all files after every statement that moves a row would only take time."""
    words = sql.split(maxsplit=1)
    return not words or words[0].upper() not in OF_ROWS


def _grown(before: Counters, after: Counters) -> list[tuple[int, int, int, int]]:
    """Table, sequential scans, rows they read, index scans: what one statement added."""
    grown = []
    for table, now in after.items():
        then = before.get(table, (0, 0, 0))
        if now != then:
            grown.append((table, now[0] - then[0], now[1] - then[1], now[2] - then[2]))
    return grown


def _changed(before: Files, after: Files) -> dict[str, Any]:
    """Oids with another file than before, and new indexes as (table, name)."""
    rewritten = [oid for oid, (file, *_) in after.items() if oid in before and before[oid][0] != file]
    built = [(table, name) for oid, (_, table, name) in after.items() if table and oid not in before]
    return {"rewritten": rewritten, "built": built}
