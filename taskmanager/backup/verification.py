"""A backup is none until it was restored: into a database of its own, compared, judged by the gate, and dropped."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from migration_gate.postgres.url import on_same_server
from migration_gate.states import State
from taskmanager.backup import archive
from taskmanager.backup.client_tools import NoTools
from taskmanager.backup.comparison import contents_that_differ, rights_that_differ
from taskmanager.backup.connecting import connected
from taskmanager.backup.errors import BackupError, NotReachable, NotThatBackup, ToolFailed
from taskmanager.backup.folder import Backup, check_files, rewrite_manifest
from taskmanager.backup.making import MIGRATING
from taskmanager.backup.manifest import Outcome, Verification
from taskmanager.backup.scratch import NoScratch, scratch
from taskmanager.backup.verdict import verdict


@dataclass(frozen=True)
class Trial:
    """Where a backup is tried.

    Parameters
    ----------
    url: a server, as a role that may make databases.
    application_url: the same server as the application's role, None where it is another server: then no statement is
        tried as that role.
    """

    url: str
    application_url: str | None


class NotTried(BackupError):
    """The backup could not be tried, for a reason that says nothing of it."""


def verify(backup: Backup, trial: Trial) -> Backup:
    """Try it, and note in its manifest how that went.

    Raises
    ------
    NotTried: no scratch database can be had, or its server went away. Nothing is known of the backup then, and nothing
        noted.
    """
    began = time.monotonic()
    try:
        check_files(backup)
        verification = _tried(backup, trial)
    except NotThatBackup as error:
        verification = Verification(Outcome.FAILED, datetime.now(UTC), problems=(error.message,))
    except (NoScratch, NoTools) as error:
        raise NotTried(str(error)) from None
    except NotReachable as error:
        raise NotTried(f"it could not be tried: {error}") from None
    except BackupError as error:
        verification = Verification(
            Outcome.FAILED, datetime.now(UTC), problems=(f"it could not be restored: {error.message}",)
        )
    noted = replace(verification, duration_s=round(time.monotonic() - began, 3))
    return rewrite_manifest(backup, backup.manifest.with_verification(noted))


def _not_comparable(*, as_application: bool) -> set[str]:
    """Verdicts that say nothing of a copy.

    Those on a database that somebody held or migrated at that moment; and, for whoever owns the tables, those on rights
    that the application lacked.
    """
    of_that_moment = {MIGRATING, State.UNREACHABLE.value}
    return of_that_moment if as_application else of_that_moment | {State.PRIVILEGES_MISSING.value}


def _tried(backup: Backup, trial: Trial) -> Verification:
    manifest = backup.manifest
    with scratch(trial.url) as url, connected(url) as connection:
        with_roles = archive.roles_are_there(manifest, connection)
        if with_roles:
            # Whoever is to own the tables must be let into the schema `public`, which is the database's owner's.
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(manifest.roles.database.owner)
                )
            )
        try:
            archive.load(backup, url, with_roles=with_roles)
        except ToolFailed:
            # Where the server went away, which is no fault of the dump, this session is lost too.
            connection.execute("SELECT 1")
            raise
        problems = contents_that_differ(manifest, connection)
        if with_roles:
            problems += rights_that_differ(manifest, connection)
        as_application = with_roles and trial.application_url is not None
        name = connection.info.dbname
        asked = on_same_server(trial.application_url, name) if as_application and trial.application_url else url
        found = verdict(asked)
        if found.state is State.UNREACHABLE:
            raise NotReachable(f"the gate could not judge what was restored: {found.evidence}")
        # A database that nobody could serve from makes a faithful backup all the same.
        if found.state.value != manifest.schema and manifest.schema not in _not_comparable(
            as_application=as_application
        ):
            problems.append(f"the gate calls it {found.state.value}, and called the database {manifest.schema}")
        return Verification(
            Outcome.FAILED if problems else Outcome.VERIFIED,
            datetime.now(UTC),
            roles=with_roles,
            schema=found.state.value,
            as_application=as_application,
            problems=tuple(problems),
        )
