"""A snapshot of a database none of whose tables anybody can rewrite any more.

A statement that rewrites a table, such as ALTER COLUMN … TYPE or TRUNCATE, leaves it empty to every snapshot from
before it: checksums and dump would agree that there are no rows, and the trial would find just that. So the tables
are locked first and the snapshot is taken afterwards; pg_dump locks them too late, since it gets the snapshot from us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from taskmanager.backup.connecting import Connection
from taskmanager.backup.errors import BackupError

# A migration that holds a table is waited for so long, by pg_dump and by us.
LOCK_TIMEOUT = "60s"

# Tables come and go while somebody migrates; each time that makes the list wrong, it is read again.
_ATTEMPTS = 10

_BEGIN = f"""
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'
"""
# Of an extension's own tables pg_dump writes what the extension says.
_TABLES = """
    SELECT c.oid::bigint, n.nspname::text, c.relname::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
    ORDER BY 1
"""


def locked_snapshot(connection: Connection) -> None:
    """Begin a transaction whose snapshot holds every table as it is, and will be until the transaction ends.

    Raises
    ------
    BackupError: a table was held for a minute, or tables came and went all the time.
    """
    for _ in range(_ATTEMPTS):
        tables = connection.execute(_TABLES).fetchall()
        connection.execute(_BEGIN)
        try:
            _lock(connection, tables, "ACCESS SHARE")
            # The first statement that needs a snapshot.
            if connection.execute(_TABLES).fetchall() == tables:
                return
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.DeadlockDetected):
            pass
        except psycopg.errors.LockNotAvailable:
            raise BackupError(
                f"somebody held a table for {LOCK_TIMEOUT}, so that no snapshot of it could be taken",
                solution="wait for the end of the migration, or of whatever else changes the schema, and try again",
            ) from None
        connection.execute("ROLLBACK")
    raise BackupError("tables were made and dropped all the time", solution="try again when nobody migrates")


def lock_tables(connection: Connection, mode: LiteralString) -> None:
    """Lock every table that is there, until the caller's transaction ends."""
    _lock(connection, connection.execute(_TABLES).fetchall(), mode)


def _lock(connection: Connection, tables: Sequence[tuple[int, str, str]], mode: LiteralString) -> None:
    # LOCK TABLE takes no snapshot.
    if tables:
        names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(*name)) for _, *name in tables)
        connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(names, sql.SQL(mode)))
