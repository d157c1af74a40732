"""Sentry learns when the schema does not fit the code: once for each state, and not while that is as planned."""

from __future__ import annotations

from collections.abc import Callable

from migration_gate.start import StartupMigration
from migration_gate.states import RULES, State
from migration_gate.status import SchemaStatus
from migration_gate.watch import Watcher
from taskmanager.observability import sentry


def install(watcher: Watcher, migrating: Callable[[], bool], startup_migration: StartupMigration | None) -> None:
    """Report what the watcher finds.

    Parameters
    ----------
    migrating: whether a migration is under way, or about to be. One that fails reports it itself.
    startup_migration: where there is one that may be held up, after which the same schema is a fault.
    """
    reports = _SchemaReports(watcher, migrating)
    watcher.on_change(reports.take_in)
    if startup_migration is not None:
        startup_migration.on_held_up(lambda: reports.take_in(watcher.verdict.status))
    sentry.know_heads(reports.heads)


class _SchemaReports:
    def __init__(self, watcher: Watcher, migrating: Callable[[], bool]) -> None:
        self._watcher = watcher
        self._migrating = migrating
        self._told: State | None = None

    def take_in(self, status: SchemaStatus) -> None:
        if status.servable:
            self._told = None
        elif status.state is not self._told and not self._migrating():
            self._told = status.state
            sentry.report_state(
                f"The schema does not fit the code: {RULES[status.state].title}."
                f" {status.cause} Solution: {status.solution}",
                code=status.state.value,
            )

    def heads(self) -> dict[str, str]:
        status = self._watcher.verdict.status
        return {
            "alembic.head": ",".join(status.code_heads),
            "alembic.current": ",".join(status.database_revisions),
        }
