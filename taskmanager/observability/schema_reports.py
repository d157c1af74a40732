"""Sentry learns when the schema does not fit the code: once for each state, and not while that is as planned."""

from __future__ import annotations

from collections.abc import Callable

from migration_gate.start import Progress
from migration_gate.states import RULES, State
from migration_gate.status import SchemaStatus
from migration_gate.watch import Watcher
from taskmanager.observability import sentry


def install(watcher: Watcher, migration: Callable[[], Progress | None]) -> None:
    """Report what the watcher finds.

    Parameters
    ----------
    migration: how far this process's own migration is, None where it has none.
    """
    reports = _SchemaReports(watcher, migration)
    watcher.on_change(reports.take_in)
    sentry.know_heads(reports.heads)


class _SchemaReports:
    def __init__(self, watcher: Watcher, migration: Callable[[], Progress | None]) -> None:
        self._watcher = watcher
        self._migration = migration
        self._told: State | None = None

    def take_in(self, status: SchemaStatus) -> None:
        if status.servable:
            self._told = None
        elif status.state is not self._told and not self._is_planned(status):
            self._told = status.state
            sentry.report_state(
                f"The schema does not fit the code: {RULES[status.state].title}."
                f" {status.cause} Solution: {status.solution}",
                code=status.state.value,
            )

    def _is_planned(self, status: SchemaStatus) -> bool:
        """A migration is at work, or this process is about to start one. One that fails reports it itself."""
        if self._watcher.verdict.running is not None:
            return True
        return status.upgradable and self._migration() in {Progress.WAITING, Progress.RUNNING}

    def heads(self) -> dict[str, str]:
        status = self._watcher.verdict.status
        return {
            "alembic.head": ",".join(status.code_heads),
            "alembic.current": ",".join(status.database_revisions),
        }
