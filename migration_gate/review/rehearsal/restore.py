"""The source's schema in the scratch database: all of it, without its rows.

Left out are owners and privileges where a role is missing, tablespaces, security labels, and subscriptions, which
would hold the address of a third database.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from psycopg import sql

from migration_gate.errors import MigrationGateError
from migration_gate.review.rehearsal.addresses import Connection, for_program
from migration_gate.review.rehearsal.source import Source
from migration_gate.review.rehearsal.tools import Tools
from migration_gate.tables import LEDGER_TABLES, VersionTable

# What a newer pg_restore sets in each session and an older server does not know: nothing of the schema.
_HARMLESS = re.compile(r'unrecognized configuration parameter "\w+"')


def copy_schema(tools: Tools, source_url: str, scratch_url: str, *, with_owners: bool, notes: list[str]) -> None:
    """Dump and restore. What could not be restored goes into `notes`; whether that matters is judged afterwards.

    Raises
    ------
    MigrationGateError: pg_dump failed.
    """
    with tempfile.TemporaryDirectory(prefix="migration-gate-rehearsal-") as folder:
        archive = str(Path(folder) / "schema.dump")
        target, environment = for_program(source_url, "pg_dump", read_only=True)
        options = ["--format=custom", "--schema-only", "--no-subscriptions", "--no-tablespaces", "--no-security-labels"]
        # It takes ACCESS SHARE on every table. Behind somebody's migration it must not queue for long.
        dump = [tools.pg_dump, *options, "--lock-wait-timeout=5000", f"--file={archive}", f"--dbname={target}"]
        done = subprocess.run(dump, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MigrationGateError(
                f"pg_dump could not read the source's schema: {_first_error(done.stderr)}",
                solution="the role needs USAGE on the schemas and SELECT on the tables; or use the owner's address",
            )
        target, environment = for_program(scratch_url, "pg_restore")
        without = [] if with_owners else ["--no-owner", "--no-privileges"]
        restore = [tools.pg_restore, *without, "--no-tablespaces", f"--dbname={target}", archive]
        done = subprocess.run(restore, env=environment, capture_output=True, text=True, check=False)
        notes += [f"not restored: {error}" for error in _errors(done.stderr)]


def copy_bookkeeping(source: Connection, scratch: Connection, table: VersionTable) -> None:
    """The rows of the version table and of the ledger, so that env.py sees the state that the source is in."""
    for name in (table.name, *sorted(LEDGER_TABLES)):
        qualified = table.beside(name)
        if not _there(source, qualified) or not _there(scratch, qualified):
            continue
        columns = sql.SQL(", ").join(map(sql.Identifier, _stored_columns(source, qualified)))
        target = sql.SQL("{} ({})").format(sql.SQL(qualified), columns)  # quoted by `beside`
        with (
            source.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(target)) as rows,
            scratch.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(target)) as into,
        ):
            for chunk in rows:
                into.write(chunk)
        _advance_identity(scratch, qualified)


def may_keep_owners(scratch: Connection, source: Source, notes: list[str]) -> bool:
    """Whether every role of the source exists on the scratch server and ours may act for it."""
    row = scratch.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    present = {str(role[0]) for role in scratch.execute("SELECT rolname::text FROM pg_roles").fetchall()}
    if missing := sorted(source.roles - present):
        notes.append(f"owners and privileges were left out: the scratch server has no role {', '.join(missing)}")
        return False
    if row is None or not row[0]:
        notes.append("owners and privileges were left out: the role of --scratch-url is no superuser")
        return False
    return True


def missing_tables(scratch: Connection, source: Source) -> list[str]:
    """The tables of the source that the restore did not make."""
    rows = scratch.execute(
        """SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p', 'm')"""
    ).fetchall()
    return sorted(".".join(key) for key in source.tables.keys() - {(str(row[0]), str(row[1])) for row in rows})


def _there(session: Connection, qualified: str) -> bool:
    row = session.execute("SELECT to_regclass(%s) IS NOT NULL", [qualified]).fetchone()
    return bool(row and row[0])


def _stored_columns(session: Connection, qualified: str) -> list[str]:
    rows = session.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        [qualified],
    ).fetchall()
    return [str(row[0]) for row in rows]


def _advance_identity(session: Connection, qualified: str) -> None:
    """A restored sequence begins anew, where the rows already have those numbers."""
    rows = session.execute(
        "SELECT attname::text, pg_get_serial_sequence(%s, attname::text) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [qualified, qualified],
    ).fetchall()
    for column, sequence in rows:
        if sequence is not None:
            session.execute(
                sql.SQL("SELECT setval({}, (SELECT max({}) FROM {}))").format(
                    sql.Literal(sequence),
                    sql.Identifier(str(column)),
                    sql.SQL(qualified),
                )
            )


def _first_error(output: str) -> str:
    return next(iter(_errors(output)), "it gave no reason")


def _errors(output: str) -> Iterable[str]:
    """Each error's own line. What follows it is the command, which may hold anything."""
    lines = [line.partition("error: ")[2] for line in output.splitlines() if "error: " in line]
    return [line for line in lines if not _HARMLESS.search(line)]
