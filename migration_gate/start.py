"""Migrating as a service starts: in a child process, while the service already answers.

The service has bound its port and tells its state; the child migrates under the lock; the two meet in the
database, through the watcher. A migration that fails leaves a process that is alive, observable
and not ready, instead of one that crashes again and again and can tell nobody why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from migration_gate.watch import Watcher

logger = logging.getLogger(__name__)

# The exit statuses of `migration-gate upgrade` after which the same attempt may succeed.
TRY_AGAIN = 75
LONGEST_PAUSE_S = 30.0

# How long a migration counts as about to begin while nobody is seen to migrate. The start of a child and of a server
# take less; more would hide an outage that nobody planned.
BEGINS_WITHIN_S = 30.0

# What a shell exits with for a command that is not there.
COMMAND_NOT_FOUND = 127

TERMINATE_GRACE_S = 5.0


class Progress(StrEnum):
    """Where the start-up migration stands."""

    WAITING = "waiting"  # the database has not answered yet
    NOT_NEEDED = "not_needed"
    NOT_POSSIBLE = "not_possible"  # the verdict forbids an upgrade
    RUNNING = "running"
    HELD_UP = "held_up"  # still tried, and nobody has been seen to migrate for a while
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
        self._held_up_listeners: list[Callable[[], None]] = []

    def on_held_up(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the progress becomes HELD_UP."""
        self._held_up_listeners.append(listener)

    async def run(self) -> None:
        """Migrate where it is needed. On cancellation the child is ended; PostgreSQL rolls its step back."""
        verdict = await self._watcher.first_answer()
        if not verdict.status.missing:
            self.progress = Progress.NOT_NEEDED
            return
        if not verdict.status.upgradable:
            self.progress = Progress.NOT_POSSIBLE
            return
        self.progress = Progress.RUNNING
        looking = asyncio.create_task(self._look_for_a_run(), name="look for a migration run")
        try:
            exit_code = await self._try_until_it_begins()
        finally:
            looking.cancel()
        if exit_code is None:
            self.progress = Progress.NOT_NEEDED
            return
        self.progress = Progress.FAILED if exit_code else Progress.SUCCEEDED
        if exit_code:
            logger.error(
                "migration failed: this process stays up and not ready",
                extra={"code": "migration_failed", "exit_code": exit_code},
            )

    async def _try_until_it_begins(self) -> int | None:
        """The exit status of the first attempt that could begin, None where somebody else did the work before."""
        pause_s = 0.5
        while (exit_code := await self._migrate()) == TRY_AGAIN:
            logger.warning("migration could not begin, trying again in %.1f s", pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if not self._watcher.verdict.status.missing:
                return None
        return exit_code

    async def _look_for_a_run(self) -> None:
        """Keep `progress` from claiming a migration that cannot begin.

        Whoever reads RUNNING excuses what is refused as planned. An attempt may wait for its server or for somebody's
        lock, and be repeated, for ever; the ledger alone tells that somebody is at work, this process or another.
        """
        last_seen = time.monotonic()
        while True:
            verdict = await self._watcher.next_check()
            if verdict.running is not None:
                last_seen, self.progress = time.monotonic(), Progress.RUNNING
            elif self.progress is Progress.RUNNING and time.monotonic() - last_seen >= BEGINS_WITHIN_S:
                self.progress = Progress.HELD_UP
                self._tell_that_it_is_held_up()

    def _tell_that_it_is_held_up(self) -> None:
        status = self._watcher.verdict.status
        logger.error(
            "no migration has begun for %.0f s: the migrator's own lines say what keeps it. It is tried on, and what is"
            " refused from now on is no longer taken for planned",
            BEGINS_WITHIN_S,
            extra={"code": status.state.value, "solution": status.solution},
        )
        for listener in self._held_up_listeners:
            listener()

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
