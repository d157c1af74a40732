"""One backup from beginning to end: made, tried, and the superfluous ones deleted, under the folder's lock."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg import conninfo

from taskmanager.backup.errors import BackupError
from taskmanager.backup.folder import Backup, BackupFolder, rewrite_manifest
from taskmanager.backup.lock import folder_lock
from taskmanager.backup.making import make_backup
from taskmanager.backup.manifest import Outcome, Verification
from taskmanager.backup.retention import Retention, superfluous
from taskmanager.backup.verification import Trial, verify

logger = logging.getLogger(__name__)

KEEP_ALL = Retention()


@dataclass(frozen=True)
class Request:
    """What is to be backed up, and how.

    Parameters
    ----------
    url: the database as the role that owns its tables; `application_url` as the one that serves.
    scratch_url: a server to try backups on, None for the database's own.
    """

    url: str = field(repr=False)
    application_url: str = field(repr=False)
    folder: BackupFolder
    scratch_url: str | None = field(default=None, repr=False)
    retention: Retention = KEEP_ALL

    @property
    def trial(self) -> Trial:
        url = self.scratch_url or self.url
        return Trial(url, self.application_url if same_server(url, self.application_url) else None)


@dataclass(frozen=True)
class Taken:
    backup: Backup
    deleted: tuple[str, ...]


def same_server(one: str, other: str) -> bool:
    """Whether two addresses name the same host and port, by their words."""
    names = ("host", "hostaddr", "port")
    first, second = conninfo.conninfo_to_dict(one), conninfo.conninfo_to_dict(other)
    return all((first.get(name) or "") == (second.get(name) or "") for name in names)


def take(request: Request) -> Taken:
    """Make a backup, try it, and delete what is superfluous then.

    Raises
    ------
    BackupError: there is no new backup. Nothing was deleted.
    """
    request.folder.make()
    with folder_lock(request.folder.path) as lock:
        request.folder.remove_unfinished()
        backup = tried(make_backup(request.url, request.application_url, request.folder, lock), request.trial)
        # Where the newest is bad, an older one may be what somebody will need.
        if backup.manifest.verification.outcome is Outcome.FAILED:
            return Taken(backup, ())
        return Taken(backup, _pruned(request))


def tried(backup: Backup, trial: Trial) -> Backup:
    """The backup with what its trial found; where it could not be tried, with the reason."""
    try:
        return verify(backup, trial)
    except BackupError as error:
        problems = (f"it could not be tried: {error}",)
        verification = Verification(Outcome.NOT_TRIED, datetime.now(UTC), problems=problems)
        return rewrite_manifest(backup, backup.manifest.with_verification(verification))


def _pruned(request: Request) -> tuple[str, ...]:
    backups = request.folder.backups()
    names = superfluous([backup.manifest for backup in backups], request.retention, datetime.now(UTC))
    deleted = []
    for backup in backups:
        if backup.name in names:
            try:
                request.folder.delete(backup)
            except BackupError as error:
                # The new backup is there; a folder that fills up is told by the disk's own alert.
                logger.warning("an old backup stays: %s", error, extra={"backup": backup.name})
            else:
                deleted.append(backup.name)
    return tuple(deleted)
