"""What was restored beside what the manifest says, as sentences; nothing is said where nothing differs."""

from __future__ import annotations

from collections.abc import Iterator

from taskmanager.backup.connecting import Connection
from taskmanager.backup.contents import differences, read_contents, read_sequences
from taskmanager.backup.history import History, read_history
from taskmanager.backup.manifest import Manifest
from taskmanager.backup.privileges import privileges_that_differ, read_privileges
from taskmanager.backup.roles import read_roles, roles_that_differ

_ONE_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def contents_that_differ(manifest: Manifest, connection: Connection) -> list[str]:
    """Tables, sequences, revisions and ledger."""
    connection.execute(_ONE_SNAPSHOT)
    try:
        last = read_sequences(connection)
        history = read_history(connection)
        found = read_contents(connection)
    finally:
        connection.execute("ROLLBACK")
    return [
        *differences(manifest.tables, found, manifest.sequences, last),
        *_history_that_differs(manifest.history, history),
    ]


def _history_that_differs(expected: History, found: History) -> Iterator[str]:
    if expected.revisions != found.revisions:
        yield f"the revision is {_named(found)}, and was {_named(expected)}"
    if (expected.runs, expected.changes, expected.project) != (found.runs, found.changes, found.project):
        yield f"the ledger ends at run {found.runs}, and ended at run {expected.runs}"


def _named(history: History) -> str:
    return ", ".join(history.revisions) or "none"


def rights_that_differ(manifest: Manifest, connection: Connection) -> list[str]:
    """Owners and privileges of what is in the database."""
    return list(privileges_that_differ(manifest.privileges, read_privileges(connection)))


def server_roles_that_differ(manifest: Manifest, connection: Connection) -> list[str]:
    """Roles, memberships and what the database grants."""
    return list(roles_that_differ(manifest.roles, read_roles(connection)))
