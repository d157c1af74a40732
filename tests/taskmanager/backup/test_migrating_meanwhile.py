"""A migration at work while a backup begins: what it rewrites is in the backup, or there is no backup."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg

from taskmanager.backup.connecting import connected
from taskmanager.backup.snapshot import locked_snapshot
from tests.taskmanager.backup.commands import Commands

_WITHIN_S = 60.0


def _wait_until_it_waits(commands: Commands) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        " AND application_name = 'taskmanager backup'"
    )
    deadline = time.monotonic() + _WITHIN_S
    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        while time.monotonic() < deadline:
            row = admin.execute(waiting, [commands.database.name]).fetchone()
            if row and row[0]:
                return
            time.sleep(0.05)
    raise AssertionError("the backup does not wait for the table")


def test_a_table_that_is_rewritten_as_the_backup_begins_is_in_it_with_all_its_rows(commands: Commands) -> None:
    """To a snapshot from before a rewrite the table is empty, for pg_dump and for checksums alike."""
    with psycopg.connect(commands.database.migrator_url, autocommit=True) as migrating:
        migrating.execute("BEGIN; ALTER TABLE idempotency_keys ALTER COLUMN task_id TYPE numeric")
        process = commands.start("backup", "--json")
        _wait_until_it_waits(commands)
        migrating.execute("COMMIT")
        said, errors = process.communicate(timeout=_WITHIN_S)

    assert process.returncode == 0, said + errors
    rows = {table["name"]: table["rows"] for table in json.loads(said)["tables"]}
    assert rows["public.idempotency_keys"] == 7


def test_a_table_that_is_made_anew_while_the_list_is_read_is_locked_all_the_same(commands: Commands) -> None:
    """It has the name that the list has, and is another one."""
    migrator_url = commands.database.migrator_url
    with psycopg.connect(migrator_url, autocommit=True) as migrating, connected(migrator_url) as connection:
        migrating.execute("CREATE TABLE turns AS SELECT 1 AS turn")
        read = connection.execute
        turns = iter(["DROP TABLE turns; CREATE TABLE turns AS SELECT 2 AS turn", "DROP TABLE turns"])

        def and_then_migrate(statement: Any, *arguments: Any) -> Any:
            answer = read(statement, *arguments)
            if "BEGIN" in str(statement):
                migrating.execute(next(turns, "SELECT 1"))
            return answer

        connection.execute = and_then_migrate  # type: ignore[assignment,method-assign]
        locked_snapshot(connection)

        held = read(
            "SELECT count(*) FILTER (WHERE relname = 'tasks'), count(*) FILTER (WHERE relname = 'turns')"
            " FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert held == (1, 0)
