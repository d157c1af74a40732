"""What this process does now, in one word: for probes, metrics and whoever asks why requests are refused."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from migration_gate.gate import Mode
from migration_gate.start import Progress
from migration_gate.watch import NOT_CHECKED, Verdict


class AppState(StrEnum):
    """The states; a process is in one of them."""

    STARTING = "starting"  # no look at the database has ended yet
    MIGRATING = "migrating"  # somebody migrates, or this process is about to
    READY = "ready"
    NOT_READY = "not_ready"
    DRAINING = "draining"


class ServiceState:
    """Reads what others know; asks nobody.

    Parameters
    ----------
    verdict: what is known of the schema now.
    progress: where this process's own migration stands; None where it is to make none.
    mode: whether an unservable schema keeps requests out.
    """

    def __init__(self, verdict: Callable[[], Verdict], progress: Callable[[], Progress | None], mode: Mode) -> None:
        self.draining = False
        self._verdict = verdict
        self._progress = progress
        self._mode = mode

    @property
    def migrating(self) -> bool:
        """Is a migration under way, whoever's, or about to be by this process?

        What is refused meanwhile is refused as planned, and is no error that somebody must be woken for. One of this
        process that is held up is not about to be: the outage that it was to end has become one of its own.
        """
        verdict, progress = self._verdict(), self._progress()
        if verdict.running is not None:
            return True
        # What another has migrated meanwhile is no longer this process's to do, even while its migrator still tries.
        missing = bool(verdict.status.missing)
        if progress is Progress.WAITING:
            # Between the first look at the database and the start of the child.
            return verdict.reachable and missing and verdict.status.upgradable
        return progress is Progress.RUNNING and missing

    @property
    def schema_serves(self) -> bool:
        return self._mode is not Mode.ENFORCE or self._verdict().servable

    @property
    def now(self) -> AppState:
        verdict = self._verdict()
        if self.draining:
            return AppState.DRAINING
        if verdict.checked_at is None and verdict.fault == NOT_CHECKED:
            return AppState.STARTING
        if self.migrating:
            return AppState.MIGRATING
        return AppState.READY if verdict.reachable and self.schema_serves else AppState.NOT_READY
