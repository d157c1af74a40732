"""Migrating as a service starts: in a child process, while the service already answers.

The service has bound its port and tells its state; the child migrates under the lock; the two meet in the
database, through the watcher. A migration that fails leaves a process that is alive, observable
and not ready, instead of one that crashes again and again and can tell nobody why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from migration_gate.watch import Watcher

logger = logging.getLogger(__name__)

# The exit statuses of `migration-gate upgrade` after which the same attempt may succeed.
TRY_AGAIN = 75
LONGEST_PAUSE_S = 30.0

# What a shell exits with for a command that is not there.
COMMAND_NOT_FOUND = 127

TERMINATE_GRACE_S = 5.0


class Progress(StrEnum):
    """Where the start-up migration stands."""

    WAITING = "waiting"  # the database has not answered yet
    NOT_NEEDED = "not_needed"
    NOT_POSSIBLE = "not_possible"  # the verdict forbids an upgrade
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StartupMigration:
    """Run a command that migrates, once, if the watcher finds revisions missing.

    Parameters
    ----------
    command: the child's argument vector; it exits as `migration-gate upgrade` does.
    environment: the child's environment.
    directory: the child's working directory.
    """

    def __init__(
        self, watcher: Watcher, command: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self.progress = Progress.WAITING
        self._watcher = watcher
        self._command = tuple(command)
        self._environment = dict(environment)
        self._directory = directory

    async def run(self) -> None:
        """Migrate where it is needed. On cancellation the child is ended; PostgreSQL rolls its step back."""
        verdict = await self._watcher.first_answer()
        if not verdict.status.missing:
            self.progress = Progress.NOT_NEEDED
            return
        if not verdict.status.upgradable:
            self.progress = Progress.NOT_POSSIBLE
            return
        pause_s = 0.5
        while True:
            self.progress = Progress.RUNNING
            exit_code = await self._migrate()
            if exit_code != TRY_AGAIN:
                break
            logger.warning("migration could not begin, trying again in %.1f s", pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self.progress = Progress.FAILED if exit_code else Progress.SUCCEEDED
        if exit_code:
            logger.error(
                "migration failed: this process stays up and not ready",
                extra={"code": "migration_failed", "exit_code": exit_code},
            )

    async def _migrate(self) -> int:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                # The child reads this pipe to its end, and stops when this process is gone.
                stdin=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd=self._directory,
            )
        except OSError as error:
            logger.error("the migration's process could not be started: %s", error.strerror)
            return COMMAND_NOT_FOUND
        try:
            return await child.wait()
        except asyncio.CancelledError:
            if child.returncode is None:
                await _end(child)
            raise


async def _end(child: asyncio.subprocess.Process) -> None:
    child.terminate()
    # Not asyncio.timeout: in a task that is being cancelled, early releases of Python 3.11 do not let it expire.
    ended = asyncio.ensure_future(child.wait())
    await asyncio.wait({ended}, timeout=TERMINATE_GRACE_S)
    if not ended.done():
        child.kill()
    await ended
