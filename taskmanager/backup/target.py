"""The database that a backup is to be restored into: whether it is empty, how it is emptied, who else is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from migration_gate.lock import lock_key
from migration_gate.tables import VersionTable
from taskmanager.backup.connecting import Connection
from taskmanager.backup.contents import read_contents
from taskmanager.backup.errors import AnotherAtWork, BackupError
from taskmanager.backup.manifest import Manifest
from taskmanager.backup.snapshot import lock_tables

# Whoever uses a table is waited for so long before it is dropped.
_LOCK_TIMEOUT = "10s"

# Statements that drop all there is, in an order in which each may find its work done by CASCADE. What belongs to an
# extension stays with it.
_OBJECTS = """
    WITH foreign_object AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
    own AS (SELECT oid, nspname FROM pg_namespace
            WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
              AND NOT EXISTS (SELECT FROM foreign_object WHERE classid = 'pg_namespace'::regclass AND objid = oid)),
    object (rank, kind, name, class, oid) AS (
        SELECT 1, 'SCHEMA', quote_ident(nspname), 'pg_namespace'::regclass, oid FROM own WHERE nspname <> 'public'
        UNION ALL
        SELECT CASE c.relkind WHEN 'S' THEN 5 ELSE 2 END,
               CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                 WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
               'public.' || quote_ident(c.relname), 'pg_class'::regclass, c.oid
        FROM pg_class c JOIN own s ON s.oid = c.relnamespace
        WHERE s.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
        UNION ALL
        SELECT 3, 'ROUTINE',
               'public.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               'pg_proc'::regclass, p.oid
        FROM pg_proc p JOIN own s ON s.oid = p.pronamespace WHERE s.nspname = 'public'
        UNION ALL
        SELECT 4, 'TYPE', 'public.' || quote_ident(t.typname), 'pg_type'::regclass, t.oid
        FROM pg_type t JOIN own s ON s.oid = t.typnamespace
        WHERE s.nspname = 'public' AND t.typtype IN ('e', 'd', 'r')
    )
    SELECT kind, name FROM object o
    WHERE NOT EXISTS (SELECT FROM foreign_object f WHERE f.classid = o.class AND f.objid = o.oid)
    ORDER BY rank, kind, name
"""
_OTHERS = """
    SELECT count(*), coalesce(string_agg(DISTINCT usename::text, ', '), '') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
      AND application_name <> current_setting('application_name')
"""


def objects(connection: Connection) -> list[str]:
    """What is in the database, such as `TABLE public.tasks`; nothing where it is empty."""
    return [f"{kind} {name}" for kind, name in connection.execute(_OBJECTS).fetchall()]


def empty(connection: Connection, kept: Manifest | None) -> None:
    """Drop all of it in one transaction.

    Parameters
    ----------
    kept: the backup of what is there, which must hold all of it; None where it may be lost.

    Raises
    ------
    BackupError: something was written since that backup. Nothing was dropped.
    """
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT))
        if kept is not None:
            lock_tables(connection, "ACCESS EXCLUSIVE")
            if read_contents(connection) != kept.tables:
                raise BackupError(
                    f"what is there was written to after its backup {kept.name}, and nothing of it was touched",
                    solution="stop whoever writes, and try again; or say --without-backup where it may be lost",
                )
        for kind, name in connection.execute(_OBJECTS).fetchall():
            # Quoted by the server that gave the names.
            connection.execute(f"DROP {kind} IF EXISTS {name} CASCADE".encode())


def other_sessions(connection: Connection) -> tuple[int, str]:
    """How many sessions of others are in the database, and of which roles."""
    row = connection.execute(_OTHERS).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")


@contextmanager
def nobody_migrates(connection: Connection) -> Iterator[None]:
    """Hold the lock that migrators take, for as long as a database is only half there.

    Raises
    ------
    AnotherAtWork: a migrator has it.
    """
    row = connection.execute("SELECT coalesce(current_schema()::text, '')").fetchone()
    key = lock_key(str(row[0]) if row else "", VersionTable().name)
    taken = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
    if not taken or not taken[0]:
        raise AnotherAtWork("a migration is at work in this database", solution="wait for its end, and try again")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [key])
