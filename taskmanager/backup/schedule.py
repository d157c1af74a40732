"""One backup after the other: when the next is due, and how long to wait after one that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from taskmanager.backup.errors import BackupError
from taskmanager.backup.folder import Backup, BackupFolder
from taskmanager.backup.manifest import Outcome
from taskmanager.backup.taking import Request, Taken, take

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3600.0
# A machine that slept, or whose clock was set, is noticed so soon.
_LOOK_EVERY_S = 30.0


@dataclass(frozen=True)
class Schedule:
    """Durations in seconds; `max_age_s` is how old the newest verified backup may become before somebody is told."""

    every_s: float
    max_age_s: float
    retry_after_s: float

    def pause_s(self, failures: int) -> float:
        """After so many failures in a row."""
        return float(min(self.retry_after_s * 2 ** min(failures - 1, 20), LONGEST_PAUSE_S, self.every_s))


class Scheduler:
    """Takes backups until it is interrupted. `failures` counts those that failed since it was started."""

    def __init__(self, request: Request, schedule: Schedule, *, take: Callable[[Request], Taken] = take) -> None:
        self.failures = 0
        self.schedule = schedule
        self.folder: BackupFolder = request.folder
        self._request = request
        self._take = take

    def run(self) -> None:
        """Until an exception ends it, which SIGTERM raises."""
        in_a_row = 0
        while True:
            if self._comes_due() and self._succeeds():
                in_a_row = 0
                continue
            in_a_row += 1
            self.failures += 1
            pause_s = self.schedule.pause_s(in_a_row)
            logger.info("next attempt in %d s", pause_s)
            time.sleep(pause_s)

    def _comes_due(self) -> bool:
        """Wait until the next is due; false where the folder cannot be read, which is a failure like any other."""
        try:
            # In short steps, and by the wall clock: that of a machine that sleeps stands still.
            while (due_in_s := self._due_in_s()) > 0:
                time.sleep(min(due_in_s, _LOOK_EVERY_S))
        except BackupError as error:
            logger.error("backup failed: %s", error.message, extra={"solution": error.solution})
            return False
        return True

    def _due_in_s(self) -> float:
        now = datetime.now(UTC)
        made = (
            backup.manifest.made_at
            for backup in self.folder.backups()
            if backup.manifest.verification.outcome is not Outcome.FAILED
        )
        # One from the future was made before the clock was set back, and says nothing of when the next is due.
        newest = max((at for at in made if at <= now), default=None)
        return 0.0 if newest is None else self.schedule.every_s - (now - newest).total_seconds()

    def _succeeds(self) -> bool:
        try:
            taken = self._take(self._request)
        except BackupError as error:
            logger.error("backup failed: %s", error.message, extra={"solution": error.solution})
            return False
        except Exception:
            logger.exception("backup failed")
            return False
        return _told(taken.backup, taken.deleted)


def _told(backup: Backup, deleted: tuple[str, ...]) -> bool:
    manifest = backup.manifest
    facts = {
        "backup": backup.name,
        "bytes": manifest.bytes,
        "rows": manifest.rows,
        "duration_s": manifest.duration_s,
        "verification_s": manifest.verification.duration_s,
        "deleted": len(deleted),
    }
    trial = manifest.verification
    if trial.outcome is Outcome.VERIFIED:
        logger.info("backup made and verified", extra=facts)
        return True
    why = "; ".join(trial.problems)
    if trial.outcome is Outcome.NOT_TRIED:
        logger.warning("backup made and NOT verified: %s", why, extra=facts)
        return True
    logger.error("backup made, and its trial failed: %s", why, extra=facts)
    return False
