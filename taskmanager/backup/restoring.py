"""A backup brought back, and the proof that it is: checksums, owners, rights, ledger, statements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from migration_gate.postgres.url import masked_url
from migration_gate.status import SchemaStatus
from taskmanager.backup import archive, roles_sql, target
from taskmanager.backup.comparison import contents_that_differ, rights_that_differ, server_roles_that_differ
from taskmanager.backup.connecting import Connection, connected, told_of_server, tool_address
from taskmanager.backup.default_privileges import suspended_default_privileges
from taskmanager.backup.errors import DIFFERS, BackupError
from taskmanager.backup.folder import ROLES, Backup, check_files
from taskmanager.backup.manifest import Manifest
from taskmanager.backup.verdict import verdict

_MOST_NAMED = 5


@dataclass(frozen=True)
class Restoration:
    """Where a backup goes, and what may be done there.

    Parameters
    ----------
    url: the database, as the role that is to own the tables, or as a superuser.
    application_url: the same database as the role that serves, None where nothing is to be tried as that role.
    make_room: what is done before a database that is not empty is emptied; it returns the backup of what is there, or
        None where that may be lost. None in its place forbids it.
    with_roles: whether owners and grants are restored. Without, everything belongs to the role of `url`.
    """

    url: str = field(repr=False)
    application_url: str | None = field(default=None, repr=False)
    make_room: Callable[[], Backup | None] | None = None
    with_roles: bool = True


@dataclass
class Report:
    """How it went. `problems` mean that something is not what it was, `remarks` that somebody should know."""

    status: SchemaStatus | None = None
    durations_s: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    roles_made: list[str] = field(default_factory=list)
    as_application: bool = False

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.durations_s[step] = round(time.monotonic() - began, 3)


def restore(backup: Backup, restoration: Restoration) -> Report:
    """Check the backup, bring it into the database, and compare.

    Raises
    ------
    BackupError: nothing was changed, or, where the database had to be emptied first, it is empty: the message says so.
    """
    report = Report()
    with report.timed("check"):
        check_files(backup)
    with connected(restoration.url) as connection, target.nobody_migrates(connection):
        if restoration.with_roles:
            with report.timed("roles"):
                report.roles_made = _with_its_roles(backup, connection)
        _check_the_programs(backup, restoration.url, connection)
        before = _make_room(restoration, connection, report)
        _tell_of_others(connection, report)
        with report.timed("load"):
            try:
                # Without owners and grants, those of the new database are what is wanted.
                with suspended_default_privileges(connection) if restoration.with_roles else nullcontext():
                    archive.load(backup, restoration.url, with_roles=restoration.with_roles)
            except BackupError as error:
                raise _left(error, before) from None
        with report.timed("proof"):
            _prove(backup.manifest, restoration, connection, report)
        with report.timed("statistics"):
            # A dump holds none, and without them every plan is a guess.
            connection.execute("ANALYZE")
    return report


def _check_the_programs(backup: Backup, url: str, connection: Connection) -> None:
    """Before anything is dropped for a dump that nothing here can bring into this server."""
    with tool_address(url) as address:
        archive.fitting_tools(backup, connection, tls=address.demands_tls)


@dataclass(frozen=True)
class _Before:
    """What was in the database: whether it was emptied, and the backup that holds what was there."""

    emptied: bool
    kept: Backup | None = None


def _left(error: BackupError, before: _Before) -> BackupError:
    if not before.emptied:
        return BackupError(f"{error.message}; the database is as empty as before", solution=error.solution)
    message = f"{error.message}; the database was emptied before, and is empty now"
    if before.kept is None:
        return BackupError(message, solution=error.solution)
    back = f"what was there is in {before.kept.name}, which taskmanager restore brings back"
    return BackupError(f"{message}; {back}", solution=error.solution)


def _with_its_roles(backup: Backup, connection: Connection) -> list[str]:
    """Make the roles that the server lacks, and see to it that everything can be left to its owner."""
    manifest = backup.manifest
    missing = archive.missing_roles(manifest, connection)
    made = [role for role in manifest.roles.roles if role.name in missing]
    by_hand = f"run {backup.path / ROLES} there as a superuser, and try again; or restore --without-roles"
    superuser, creates = _what_it_may(connection)
    if made and (not (superuser or creates) or any(role.superuser for role in made)):
        raise BackupError(f"the server lacks the roles {', '.join(missing)}", solution=by_hand)
    with connection.transaction():
        for role in made:
            connection.execute(roles_sql.create(role).encode())
        for role in made:
            for statement in roles_sql.memberships(role):
                connection.execute(statement.encode())
    if not archive.may_give(manifest, connection):
        raise BackupError(
            f"this role may not leave tables to {', '.join(archive.owners(manifest))}",
            solution="restore as that role, which MIGRATION_DATABASE_URL names, or as a superuser",
        )
    if superuser:
        # Whoever owns the database owns its schema `public`.
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(manifest.roles.database.owner)
            )
        )
    return [role.name for role in made]


def _what_it_may(connection: Connection) -> tuple[bool, bool]:
    """Whether the session's role is a superuser, and whether it may make roles."""
    row = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


def _make_room(restoration: Restoration, connection: Connection, report: Report) -> _Before:
    found = target.objects(connection)
    if not found:
        return _Before(emptied=False)
    if restoration.make_room is None:
        named = ", ".join(found[:_MOST_NAMED]) + (f" and {len(found) - _MOST_NAMED} more" * (len(found) > _MOST_NAMED))
        raise BackupError(
            f"the database {masked_url(restoration.url)} is not empty ({named}), and nothing of it was touched",
            solution="restore into an empty one, or say --replace, which backs it up first and then drops all of it",
        )
    with report.timed("backup of what was there"):
        kept = restoration.make_room()
    with report.timed("emptying"):
        target.empty(connection, kept.manifest if kept is not None else None)
    if left := target.objects(connection):
        raise BackupError(f"the database could not be emptied: {', '.join(left[:_MOST_NAMED])}", solution="drop it")
    return _Before(emptied=True, kept=kept)


def _tell_of_others(connection: Connection, report: Report) -> None:
    count, roles = target.other_sessions(connection)
    if count:
        report.remarks.append(
            f"{count} other sessions ({roles}) were connected; what they write as soon as they can is in the tables too"
        )


def _prove(manifest: Manifest, restoration: Restoration, connection: Connection, report: Report) -> None:
    report.problems += contents_that_differ(manifest, connection)
    if restoration.with_roles:
        _bring_back_grants(manifest, connection, report)
        for sentence in rights_that_differ(manifest, connection):
            # What somebody was granted here before is no loss.
            (report.remarks if sentence.startswith("new:") else report.problems).append(sentence)
        report.remarks += server_roles_that_differ(manifest, connection)
    report.as_application = restoration.with_roles and restoration.application_url is not None
    asked = restoration.application_url if report.as_application else restoration.url
    report.status = verdict(asked or restoration.url)


def _bring_back_grants(manifest: Manifest, connection: Connection, report: Report) -> None:
    """What the database itself grants and sets, as far as this role may."""
    row = connection.execute(
        "SELECT current_database()::text, pg_has_role(current_user, datdba, 'MEMBER') FROM pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    if not row or not row[1]:
        report.remarks.append("the database belongs to another role, which alone can grant the right to connect")
        return
    for statement in roles_sql.of_database(manifest.roles, row[0]):
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            report.remarks.append(f"{statement.partition(' TO ')[0]}: {told_of_server(error)}")


def exit_status(report: Report) -> int:
    """Of the command: what differs counts more than what cannot be served yet."""
    if report.problems:
        return DIFFERS
    return 0 if report.status is None or report.status.servable else 3
