"""A backup: the dump, the checksums and the roles, all of one snapshot, so that what is compared later is the same.

The snapshot is exported by the session that reads the checksums and taken over by pg_dump. Rows that are written
meanwhile are in neither.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from taskmanager import __version__
from taskmanager.backup import roles_sql
from taskmanager.backup.client_tools import ClientTools, find_tools
from taskmanager.backup.connecting import Connection, ToolAddress, connected, server_version, tool_address
from taskmanager.backup.contents import TableContents, read_contents, read_sequences
from taskmanager.backup.errors import BackupError, reason
from taskmanager.backup.folder import (
    DUMP,
    ROLES,
    Backup,
    BackupFolder,
    describe_file,
    name_of,
)
from taskmanager.backup.history import History, read_history
from taskmanager.backup.manifest import Manifest, Outcome, Verification
from taskmanager.backup.privileges import read_privileges
from taskmanager.backup.roles import Roles, read_roles
from taskmanager.backup.snapshot import LOCK_TIMEOUT, locked_snapshot
from taskmanager.backup.tool_process import run_tool
from taskmanager.backup.verdict import verdict

# In place of the verdict while somebody migrates, which is another one a moment later.
MIGRATING = "migrating"


@dataclass(frozen=True)
class _Facts:
    """What stands beside the dump in one snapshot."""

    database: str
    history: History
    sequences: dict[str, int]
    roles: Roles
    privileges: tuple[str, ...]


def make_backup(url: str, application_url: str, folder: BackupFolder, lock: int) -> Backup:
    """Dump the database and leave it in the folder, not tried yet.

    Parameters
    ----------
    url: the database, as the role that owns its tables.
    application_url: the same one as the role that serves, which the gate's verdict is asked as.
    lock: the folder's lock, held by the caller.

    Raises
    ------
    BackupError: it could not be made, and nothing that looks like a backup is left of it.
    """
    began, made_at = time.monotonic(), datetime.now(UTC)
    status = verdict(application_url)
    with connected(url) as connection:
        major, version = server_version(connection)
        with tool_address(url) as address:
            tools = find_tools(major, tls=address.demands_tls)
            locked_snapshot(connection)
            facts = _facts(connection)
            with folder.new(facts.database, made_at) as work:
                tables = _dump(connection, tools, address, work / DUMP, lock)
                _write_roles(work / ROLES, facts, made_at)
                manifest = Manifest(
                    name=name_of(work),
                    made_at=made_at,
                    duration_s=round(time.monotonic() - began, 3),
                    database=facts.database,
                    server_version=version,
                    server_major=major,
                    tool_version=tools.version,
                    tool_major=tools.major,
                    taskmanager_version=__version__,
                    files={name: describe_file(work / name) for name in (DUMP, ROLES)},
                    history=facts.history,
                    schema=MIGRATING if status.running is not None else status.state.value,
                    tables=tables,
                    sequences=facts.sequences,
                    roles=facts.roles,
                    privileges=facts.privileges,
                    verification=Verification(Outcome.NOT_TRIED, made_at),
                )
                return _published(folder, work, manifest)


def _facts(connection: Connection) -> _Facts:
    row = connection.execute("SELECT current_database()::text").fetchone()
    assert row is not None  # noqa: S101  it always has a row
    # The numbers of sequences first: pg_dump reads them later, and so finds these or greater ones.
    sequences = read_sequences(connection)
    return _Facts(row[0], read_history(connection), sequences, read_roles(connection), read_privileges(connection))


def _dump(
    connection: Connection, tools: ClientTools, address: ToolAddress, file: Path, lock: int
) -> tuple[TableContents, ...]:
    snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert snapshot is not None  # noqa: S101
    arguments = [
        "--format=custom",
        "--no-password",
        f"--snapshot={snapshot[0]}",
        f"--lock-wait-timeout={LOCK_TIMEOUT}",
        f"--file={file}",
    ]
    read: list[TableContents] = []
    file.touch(0o600)
    run_tool(
        tools.pg_dump,
        arguments,
        address.environment,
        meanwhile=partial(_read_into, read, connection),
        keep_open=(lock,),
    )
    connection.execute("ROLLBACK")
    return tuple(read)


def _read_into(read: list[TableContents], connection: Connection) -> None:
    read += read_contents(connection)


def _write_roles(file: Path, facts: _Facts, made_at: datetime) -> None:
    try:
        file.touch(0o600)
        file.write_text(
            roles_sql.script(facts.roles, facts.database, f"{made_at:%Y-%m-%d %H:%M:%S} UTC"), encoding="utf-8"
        )
    except OSError as error:
        raise BackupError(f"{file.parent.parent} cannot be written to: {reason(error)}") from None


def _published(folder: BackupFolder, work: Path, manifest: Manifest) -> Backup:
    try:
        return folder.publish(work, manifest)
    except OSError as error:
        raise BackupError(f"{folder.path} cannot be written to: {reason(error)}") from None
