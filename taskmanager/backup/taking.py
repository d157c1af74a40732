"""One backup from beginning to end: made, tried, and the superfluous ones deleted, under the folder's lock."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg import conninfo

from taskmanager.backup.errors import BackupError
from taskmanager.backup.folder import Backup, BackupFolder, rewrite_manifest
from taskmanager.backup.lock import folder_lock
from taskmanager.backup.making import make_backup
from taskmanager.backup.manifest import Outcome, Verification
from taskmanager.backup.retention import Retention, superfluous
from taskmanager.backup.verification import NotTried, Trial, verify

logger = logging.getLogger(__name__)

KEEP_ALL = Retention()


@dataclass(frozen=True)
class Request:
    """What is to be backed up, and how.

    Parameters
    ----------
    url: the database as the role that owns its tables.
    application_url: the same as the role that serves, None where nobody says which that is.
    scratch_url: a server to try backups on, None for the database's own.
    """

    url: str = field(repr=False)
    application_url: str | None = field(repr=False)
    folder: BackupFolder
    scratch_url: str | None = field(default=None, repr=False)
    retention: Retention = KEEP_ALL

    @property
    def trial(self) -> Trial:
        url = self.scratch_url or self.url
        as_application = self.application_url is not None and same_server(url, self.application_url)
        return Trial(url, self.application_url if as_application else None)


@dataclass(frozen=True)
class Taken:
    backup: Backup
    deleted: tuple[str, ...]


def same_server(one: str, other: str) -> bool:
    """Whether two addresses name the same host and port, by their words."""
    names = ("host", "hostaddr", "port")
    first, second = conninfo.conninfo_to_dict(one), conninfo.conninfo_to_dict(other)
    return all((first.get(name) or "") == (second.get(name) or "") for name in names)


def take(request: Request, lock: int | None = None) -> Taken:
    """Make a backup, try it, and delete what is superfluous then.

    Parameters
    ----------
    lock: the folder's, where the caller holds it.

    Raises
    ------
    BackupError: there is no new backup. Nothing was deleted.
    """
    request.folder.make()
    with nullcontext(lock) if lock is not None else folder_lock(request.folder.path) as lock:
        request.folder.remove_unfinished()
        made = make_backup(request.url, request.application_url or request.url, request.folder, lock)
        backup = tried(made, request.trial)
        # Where the newest is bad, an older one may be what somebody will need.
        if backup.manifest.verification.outcome is Outcome.FAILED:
            return Taken(backup, ())
        return Taken(backup, _pruned(request, backup))


def tried(backup: Backup, trial: Trial) -> Backup:
    """The backup with what its trial found; where it could not be tried, with the reason.

    That reason is noted where nothing is known of the backup. What an earlier trial found stays on the disk.
    """
    try:
        return verify(backup, trial)
    except NotTried as error:
        verification = Verification(Outcome.NOT_TRIED, datetime.now(UTC), problems=(str(error),))
        manifest = backup.manifest.with_verification(verification)
        known = backup.manifest.verification.outcome is not Outcome.NOT_TRIED
        return Backup(backup.path, manifest) if known else rewrite_manifest(backup, manifest)


def _pruned(request: Request, new: Backup) -> tuple[str, ...]:
    # Those of another database are not this one's to count, nor to delete.
    backups = [each for each in request.folder.backups() if each.manifest.database == new.manifest.database]
    names = superfluous([backup.manifest for backup in backups], request.retention, datetime.now(UTC))
    deleted = []
    for backup in backups:
        # By a clock that was set back the new one may be the oldest.
        if backup.name in names and backup.name != new.name:
            try:
                request.folder.delete(backup)
            except BackupError as error:
                # The new backup is there; a folder that fills up is told by the disk's own alert.
                logger.warning("an old backup stays: %s", error, extra={"backup": backup.name})
            else:
                deleted.append(backup.name)
    return tuple(deleted)
