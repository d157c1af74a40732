"""Backups that are no longer made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.rig import Rig


@contextmanager
def scheduler_killed(rig: Rig) -> Iterator[float]:
    assert rig.backups is not None
    began = time.monotonic()
    rig.backups.kill()
    try:
        yield began
    finally:
        rig.backups.start()
        rig.backups.wait_until_verified()


FAULTS = (
    Fault(
        name="backup_scheduler_killed",
        alert="BackupTooOld",
        told="the scheduler of backups is killed",
        labels=of_the_service("warning", "backup_too_old"),
        inject=scheduler_killed,
        setting=Setting(backups=True, shortened=5),
        within_s=180.0,
        resolved_within_s=180.0,
    ),
)
