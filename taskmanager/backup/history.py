"""What a database says of its schema's history: Alembic's revisions and the newest run in the gate's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration_gate.tables import IDENTITY_TABLE, REVISION_TABLE, RUN_TABLE, VersionTable
from taskmanager.backup.connecting import Connection

_TABLE = VersionTable()


@dataclass(frozen=True)
class History:
    """`runs` and `changes` are the newest numbers in the ledger, 0 where it has none or there is no ledger."""

    revisions: tuple[str, ...]
    ledger_format: int
    project: str | None
    runs: int
    changes: int

    @classmethod
    def of_json(cls, history: Mapping[str, Any]) -> History:
        return cls(
            tuple(history["revisions"]),
            int(history["ledger_format"]),
            history["project"],
            int(history["runs"]),
            int(history["changes"]),
        )


def read_history(connection: Connection) -> History:
    """As it stands in the snapshot of the caller's transaction."""
    revisions = (
        connection.execute(f"SELECT version_num FROM {_TABLE.qualified} ORDER BY 1").fetchall()  # noqa: S608
        if _is_there(connection, _TABLE.name)
        else []
    )
    identity = None
    if _is_there(connection, IDENTITY_TABLE):
        identity = connection.execute(f"SELECT format, project FROM {_TABLE.beside(IDENTITY_TABLE)}").fetchone()  # noqa: S608
    format_, project = identity or (0, None)
    return History(
        tuple(row[0] for row in revisions),
        int(format_),
        project,
        _newest(connection, RUN_TABLE),
        _newest(connection, REVISION_TABLE),
    )


def _is_there(connection: Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [_TABLE.beside(table)]).fetchone()
    return bool(row and row[0])


def _newest(connection: Connection, table: str) -> int:
    if not _is_there(connection, table):
        return 0
    row = connection.execute(f"SELECT coalesce(max(id), 0) FROM {_TABLE.beside(table)}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0
