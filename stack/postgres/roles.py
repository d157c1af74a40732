"""Two roles and their databases: a migrator that owns, an application that only reads and writes.

The application's rights on tables come from default privileges, so that a migration needs to grant nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from stack.errors import StackError

if TYPE_CHECKING:
    from stack.postgres.cluster import Cluster

MIGRATOR = "taskmanager_migrator"
APP = "taskmanager_app"
DATABASE = "taskmanager"

_Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Database:
    """A database, and how each role reaches it (`postgresql://` URLs with passwords)."""

    name: str
    app_url: str
    migrator_url: str


def ensure_database(cluster: Cluster, name: str = DATABASE) -> Database:
    """The database with its roles and grants, made where missing; safe to repeat."""
    with _connect(cluster, "postgres") as connection:
        _ensure_roles(cluster, connection)
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            _create(connection, name, None)
    _grant(cluster, name)
    return _describe(cluster, name)


def create_database(cluster: Cluster, name: str, template: str | None = None) -> Database:
    """A further database with the same roles; `template` names one to copy, to which nobody may be connected.

    Raises StackError when it exists already or cannot be copied.
    """
    with _connect(cluster, "postgres") as connection:
        _ensure_roles(cluster, connection)
        try:
            _create(connection, name, template)
        except psycopg.Error as error:
            raise StackError(f"the database `{name}` could not be made: {error}") from error
    _grant(cluster, name)
    return _describe(cluster, name)


def drop_database(cluster: Cluster, name: str) -> None:
    """Removes a database, ending the connections to it; no error when it is not there."""
    with _connect(cluster, "postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _connect(cluster: Cluster, database: str) -> _Connection:
    return psycopg.connect(cluster.superuser_url(database), autocommit=True, connect_timeout=10)


def _describe(cluster: Cluster, name: str) -> Database:
    return Database(
        name,
        app_url=cluster.url(APP, cluster.passwords.app, name),
        migrator_url=cluster.url(MIGRATOR, cluster.passwords.migrator, name),
    )


def _ensure_roles(cluster: Cluster, connection: _Connection) -> None:
    """The passwords are set at each start: the file beside the cluster is what counts."""
    present = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    for role, password in ((MIGRATOR, cluster.passwords.migrator), (APP, cluster.passwords.app)):
        # Hashed here, so that no password can reach the server's log.
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        statement = "ALTER ROLE {} LOGIN PASSWORD {}" if role in present else "CREATE ROLE {} LOGIN PASSWORD {}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(role), sql.Literal(verifier)))
    # Who waits for a table must be able to say what the session that holds it does, whoever that is.
    connection.execute(sql.SQL("GRANT pg_read_all_stats TO {}").format(sql.Identifier(MIGRATOR)))


def _create(connection: _Connection, name: str, template: str | None) -> None:
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(MIGRATOR), sql.Identifier(template or "template1")
    )
    connection.execute(statement)


def _grant(cluster: Cluster, name: str) -> None:
    names = {
        "database": sql.Identifier(name),
        "migrator": sql.Identifier(MIGRATOR),
        "app": sql.Identifier(APP),
    }
    with _connect(cluster, name) as connection, connection.transaction():
        for statement in _GRANTS:
            connection.execute(sql.SQL(statement).format(**names))


_GRANTS = (
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {app}",
    # The default since PostgreSQL 15; before, anyone might create tables in it.
    "ALTER SCHEMA public OWNER TO pg_database_owner",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {app}",
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE {migrator} IN SCHEMA public "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}"
    ),
    "ALTER DEFAULT PRIVILEGES FOR ROLE {migrator} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {app}",
)
