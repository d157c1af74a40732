"""Reading a dump into a database."""

from __future__ import annotations

from taskmanager.backup.client_tools import ANY, ClientTools, find_tools
from taskmanager.backup.connecting import Connection, connected, server_version, tool_address
from taskmanager.backup.errors import BackupError
from taskmanager.backup.folder import Backup
from taskmanager.backup.manifest import Manifest
from taskmanager.backup.tool_process import run_tool

# From this version on pg_restore sets transaction_timeout, which older servers refuse.
TRANSACTION_TIMEOUT = 17

# May the role make objects that belong to each of these?
_OWNS = """
    SELECT coalesce(bool_and(pg_has_role(current_user, rolname, 'MEMBER')), true) FROM pg_roles WHERE rolname = ANY(%s)
"""


def fitting_tools(backup: Backup, connection: Connection, *, tls: bool) -> ClientTools:
    """The programs that can bring the dump into the session's server.

    Raises
    ------
    BackupError: the server is older than the dump, or no such programs are here.
    """
    major, version = server_version(connection)
    _refuse_an_older_server(backup.manifest, major, version)
    below = TRANSACTION_TIMEOUT if major < TRANSACTION_TIMEOUT else ANY
    return find_tools(max(major, backup.manifest.tool_major), below=below, tls=tls)


def load(backup: Backup, url: str, *, with_roles: bool) -> None:
    """Restore the dump into an empty database, all of it or nothing.

    Parameters
    ----------
    with_roles: give each object to its owner and grant what was granted; the roles must be there.
    """
    arguments = ["--no-password", "--exit-on-error", "--single-transaction"]
    if not with_roles:
        arguments += ["--no-owner", "--no-privileges"]
    with tool_address(url) as address:
        with connected(url) as connection:
            tools = fitting_tools(backup, connection, tls=address.demands_tls)
        run_tool(
            tools.pg_restore,
            [*arguments, f"--dbname={_database(address.environment)}", str(backup.dump)],
            address.environment,
        )


def _database(environment: dict[str, str]) -> str:
    """pg_restore connects to no database unless an argument names one."""
    name = environment.get("PGDATABASE") or environment.get("PGUSER", "")
    # What has = in it is read as parameters, so it is written as one.
    return "dbname='" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refuse_an_older_server(manifest: Manifest, major: int, version: str) -> None:
    if major < manifest.server_major:
        raise BackupError(
            f"the backup is of PostgreSQL {manifest.server_version}, and this server is {version}: PostgreSQL brings"
            " data to newer versions and not to older ones",
            solution=f"restore it into PostgreSQL {manifest.server_major} or newer",
        )


def owners(manifest: Manifest) -> list[str]:
    """The roles to which something in the database belongs."""
    names = set()
    for line in manifest.privileges:
        _, belongs, owner = line.rpartition(" belongs to ")
        # It is whoever owns the database, and no role that anybody could be given.
        if belongs and owner != "pg_database_owner":
            names.add(owner)
    return sorted(names)


def missing_roles(manifest: Manifest, connection: Connection) -> list[str]:
    """Those of the backup's roles that this server does not have."""
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS t (name) WHERE name NOT IN (SELECT rolname FROM pg_roles)",
        [list(manifest.roles.names)],
    ).fetchall()
    return [row[0] for row in rows]


def roles_are_there(manifest: Manifest, connection: Connection) -> bool:
    """Whether the server has all of them, and the session's role may leave the database itself to its owner."""
    if missing_roles(manifest, connection) or not may_give(manifest, connection):
        return False
    row = connection.execute(_OWNS, [[manifest.roles.database.owner]]).fetchone()
    return bool(row and row[0])


def may_give(manifest: Manifest, connection: Connection) -> bool:
    """Whether the session's role may leave everything with its owner."""
    row = connection.execute(_OWNS, [owners(manifest)]).fetchone()
    return bool(row and row[0])
