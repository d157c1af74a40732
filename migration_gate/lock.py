"""The lock that lets any number of replicas start at once: fenced, and safe with CREATE INDEX CONCURRENTLY.

Three properties, each of which a simpler lock lacks:

- It is taken on the connection that migrates. If that session dies its lock dies with it, so nobody can
  hold the lock without being able to migrate, nor migrate without holding the lock.
- It is polled, never waited for. A session blocked inside `pg_advisory_lock` holds a snapshot;
  CREATE INDEX CONCURRENTLY waits for every older snapshot; the two would wait for each other for ever.
- It is a session lock. A transaction's lock would be gone at the first autocommit block.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migration_gate.errors import LockNotAcquired

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from migration_gate.tables import VersionTable

logger = logging.getLogger(__name__)

POLL_FIRST_S = 0.05
POLL_LONGEST_S = 1.0
REPORT_EVERY_S = 5.0


@dataclass(frozen=True)
class Holder:
    """The session that holds the lock."""

    pid: int
    name: str
    for_s: float

    def __str__(self) -> str:
        return f"{self.name or 'an unnamed session'} (server process {self.pid}, connected for {self.for_s:.0f} s)"


# The session that holds the lock `key`, if any: a read that everybody may make.
HOLDER = """
    SELECT l.pid, coalesce(a.application_name, '') AS name,
           coalesce(extract(epoch FROM clock_timestamp() - a.backend_start), 0)::float8 AS for_s
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = {key}
"""


def lock_key(database_schema: str, version_table: str) -> int:
    """The advisory lock's 64-bit key. One for each version table, since each is migrated on its own."""
    digest = hashlib.sha256(f"migration_gate:{database_schema}.{version_table}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def acquire(
    connection: Connection, table: VersionTable, deadline_s: float, needless: Callable[[], bool] = lambda: False
) -> float | None:
    """Take the lock on this very connection and return how many seconds that took.

    The connection comes back outside any transaction, which is what Alembic needs: a transaction that is
    open when Alembic is configured makes it leave the commit to somebody else, and nobody commits.

    Parameters
    ----------
    needless: tells, each time that somebody else has the lock, whether it is not wanted any more; then it is not
        taken, and None returned. Otherwise the replicas of a deployment, whose work one of them has done, would all
        queue up for the lock to find that out, one behind the other.

    Raises
    ------
    LockNotAcquired: somebody else held it until the deadline, or the session behind the connection changes
        from one transaction to the next (a pooler), so that no lock could be relied on.
    """
    key = lock_key(schema_of(connection, table), table.name)
    started = time.monotonic()
    pause, reported = POLL_FIRST_S, started
    while True:
        taken = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (key,)).scalar_one()
        connection.commit()
        if taken:
            _prove_ownership(connection, key)
            return time.monotonic() - started
        if needless():
            return None
        now = time.monotonic()
        if now - started >= deadline_s:
            raise _not_acquired(holder(connection, key), deadline_s)
        if now - reported >= REPORT_EVERY_S or reported == started:
            reported = now
            logger.info("waiting for the migration lock, held by %s", holder(connection, key) or "a session just gone")
        # Without jitter the replicas of one deployment would all ask in the same instant.
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(pause * 1.5, POLL_LONGEST_S)


def holder(connection: Connection, key: int) -> Holder | None:
    """Who holds the lock, or None where nobody does."""
    row = connection.exec_driver_sql(HOLDER.format(key=key)).first()
    connection.commit()
    return Holder(*row) if row else None


def schema_of(connection: Connection, table: VersionTable) -> str:
    """Where the version table is, or would be made: sessions with other search paths must meet in one lock."""
    schema: str = connection.exec_driver_sql(
        """SELECT coalesce((SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE c.oid = to_regclass(%s)), %s, current_schema(), '')""",
        (table.qualified, table.schema),
    ).scalar_one()
    return schema


def _prove_ownership(connection: Connection, key: int) -> None:
    own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    held = holder(connection, key)
    if held is None or held.pid != own:
        raise LockNotAcquired(
            "The migration lock was granted to one server session and the next statement ran on another:"
            " there is a connection pooler in transaction mode in between.",
            solution="set MIGRATION_DATABASE_URL to PostgreSQL's own address, past the pooler",
        )


def _not_acquired(held_by: Holder | None, deadline_s: float) -> LockNotAcquired:
    who = held_by or "a session that has just ended"
    return LockNotAcquired(
        f"Another migrator held the migration lock for {deadline_s:.0f} s: {who}.",
        solution="wait for it, or, where its work is lost, end it: "
        + (f"SELECT pg_terminate_backend({held_by.pid})" if held_by else "run this command again"),
    )
