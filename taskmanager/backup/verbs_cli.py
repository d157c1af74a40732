"""What the three verbs do."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from psycopg import conninfo

from migration_gate.postgres.url import UnusableUrl, plain_url
from taskmanager.backup.errors import (
    DIFFERS,
    NOT_VERIFIED,
    UNUSABLE_SETTINGS,
    BackupError,
)
from taskmanager.backup.folder import Backup, BackupFolder
from taskmanager.backup.interruption import Interrupted, interruptible
from taskmanager.backup.lock import folder_lock
from taskmanager.backup.manifest import Outcome
from taskmanager.backup.restoring import Report, Restoration, exit_status, restore
from taskmanager.backup.retention import Retention
from taskmanager.backup.taking import Request, same_server, take, tried
from taskmanager.backup.terminal import now, restored, table, told
from taskmanager.settings import NO_DATABASE, Settings, SettingsError

DEFAULT_FOLDER = Path(".data/backups")
_OUTCOME_STATUS = {Outcome.VERIFIED: 0, Outcome.NOT_TRIED: NOT_VERIFIED, Outcome.FAILED: DIFFERS}


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Run the verb that `does` names, tell in one line what it could not do, and return its exit status."""
    os.umask(0o077)
    unsafe = settings.address_violations()
    if unsafe and getattr(options, "every", None) is not None:
        # A service, which production refuses as it does the one that serves.
        raise SettingsError("\n".join(unsafe))
    for line in unsafe:
        # Told, and no reason to refuse: whoever makes or restores a backup by hand may be in need of it.
        _say(f"unsafe: {line}")
    try:
        with interruptible():
            return _VERBS[options.does](options, settings)
    except BackupError as error:
        _say(f"{error.message}\n  Solution: {error.solution}" if error.solution else error.message)
        return error.status
    except UnusableUrl as error:
        _say(str(error))
        return UNUSABLE_SETTINGS
    except Interrupted as interrupted:
        _say(f"ended by {interrupted}; nothing was left half done")
        return 128 + interrupted.number
    except BrokenPipeError:
        # `… | head` has seen enough; Python must not try to write the rest as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _backup(options: argparse.Namespace, settings: Settings) -> int:
    request = _request(options, settings, Retention(options.keep, options.keep_days))
    if options.every is not None:
        from taskmanager.backup.schedule import Schedule
        from taskmanager.backup.serving import serve

        max_age_s = options.max_age or options.every * 3 // 2
        host, port = options.listen
        return serve(request, Schedule(options.every, max_age_s, options.retry_after), host, port, settings)
    taken = take(request)
    if options.json:
        _print_json(taken.backup.manifest.as_json() | {"deleted": list(taken.deleted)})
    else:
        print(told(taken.backup, taken.deleted))
    return _OUTCOME_STATUS[taken.backup.manifest.verification.outcome]


def _restore(options: argparse.Namespace, settings: Settings) -> int:
    folder = BackupFolder(_folder(options, settings))
    backup = folder.find(options.backup)
    url = plain_url(options.into) if options.into else _url(settings)
    if options.into and conninfo.conninfo_to_dict(url).get("password"):
        _say("note: others on this machine can read the password of --into; PGPASSWORD and ~/.pgpass hide it")
    if options.without_backup and not options.replace:
        _say("--without-backup says something about --replace alone")
        return 2
    application_url = _application_url(options, settings, url)
    make_room: Callable[[], Backup | None] | None = None
    if options.replace:

        def make_room() -> Backup | None:
            if options.without_backup:
                return None
            return _keep_what_is_there(Request(url, application_url, folder, _scratch_url(settings)), lock)

    with _nobody_backs_up(folder, needed=options.replace) as lock:
        report = restore(backup, Restoration(url, application_url, make_room, with_roles=not options.without_roles))
    if options.json:
        _print_json(_report(backup, report))
    else:
        print(restored(backup, report))
    return exit_status(report)


@contextmanager
def _nobody_backs_up(folder: BackupFolder, *, needed: bool) -> Iterator[int | None]:
    """Nobody deletes the backup meanwhile, nor makes one of a database that is empty or half there.

    Where nobody can write into the folder, nobody does either.
    """
    if not needed and not os.access(folder.path, os.W_OK):
        yield None
        return
    folder.make()
    with folder_lock(folder.path) as lock:
        yield lock


def _keep_what_is_there(request: Request, lock: int | None) -> Backup:
    backup = take(request, lock).backup
    _say(told(backup))
    if not backup.manifest.verified:
        raise BackupError(
            "the backup of what is there is not verified, so that nothing of it was touched",
            solution="mend what its trial lacks, or say --without-backup where what is there may be lost",
        )
    return backup


def _backups(options: argparse.Namespace, settings: Settings) -> int:
    folder = BackupFolder(_folder(options, settings))
    damaged = folder.damaged()
    for sentence in damaged:
        _say(sentence)
    found = folder.backups() if options.verify in (None, "all") else [folder.find(options.verify)]
    status = DIFFERS if damaged else 0
    if options.verify is not None:
        trial = _request(options, settings, Retention()).trial
        with folder_lock(folder.path):
            found = [tried(backup, trial) for backup in found]
        status = max([status, *(_OUTCOME_STATUS[backup.manifest.verification.outcome] for backup in found)])
        for backup in found:
            for problem in backup.manifest.verification.problems:
                _say(f"{backup.name}: {problem}")
    if options.json:
        _print_json([backup.manifest.as_json() for backup in found])
    elif found:
        print(table(found, now()))
    else:
        print(f"There is no backup in {folder.path}.")
    return status


def _request(options: argparse.Namespace, settings: Settings, retention: Retention) -> Request:
    url = _url(settings)
    folder = BackupFolder(_folder(options, settings))
    return Request(url, settings.database_url, folder, _scratch_url(settings), retention)


def _folder(options: argparse.Namespace, settings: Settings) -> Path:
    folder: Path = options.folder or settings.backup_folder or DEFAULT_FOLDER
    return folder


def _url(settings: Settings) -> str:
    url = settings.migration_url()
    if url is None:
        raise SettingsError(NO_DATABASE)
    return url


def _scratch_url(settings: Settings) -> str | None:
    return plain_url(settings.backup_scratch_url) if settings.backup_scratch_url else None


def _application_url(options: argparse.Namespace, settings: Settings, url: str) -> str | None:
    if options.application_url:
        return plain_url(options.application_url)
    served = settings.database_url
    if served is None or not same_server(served, url):
        return None
    names = [conninfo.conninfo_to_dict(each).get("dbname") for each in (served, url)]
    return served if names[0] == names[1] else None


def _report(backup: Backup, report: Report) -> dict[str, Any]:
    status = report.status
    return {
        "backup": backup.name,
        "durations_s": report.durations_s,
        "problems": report.problems,
        "remarks": report.remarks,
        "roles_made": report.roles_made,
        "as_application": report.as_application,
        "schema": status.as_dict() if status is not None else None,
        "roles_checksum": backup.manifest.roles.checksum,
        "tables": [asdict(each) for each in backup.manifest.tables],
    }


def _say(line: str) -> None:
    print(f"taskmanager: {line}", file=sys.stderr)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


_VERBS: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
    "backup": _backup,
    "restore": _restore,
    "backups": _backups,
}
