"""One task that keeps the verdict fresh while a service runs.

A request reads an attribute; it never asks the database whether it may ask the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from migration_gate.errors import DatabaseUnreachable
from migration_gate.expected import Expected
from migration_gate.observe import LastRun, Observed, Running
from migration_gate.status import SchemaStatus, judge, unreachable

logger = logging.getLogger(__name__)

_CHECK_FAILED = "the check itself failed"


def _now() -> datetime:
    return datetime.now(UTC)


Probe = Callable[[], Awaitable[Observed]]
Listener = Callable[[SchemaStatus], None]


@dataclass(frozen=True)
class Verdict:
    """What is known now.

    `status` is the last judgement. `fault` tells why the database cannot be asked at this moment, and
    is None when the judgement is fresh: it stays what it was while the database is away, servable or not.
    `checked_at` is on the clock of `time.monotonic`, in seconds, and None before the first answer. `running` is the
    migrator at work now, and `since` when the state was first seen.
    """

    status: SchemaStatus
    fault: str | None = "not checked yet"
    checked_at: float | None = None
    last_run: LastRun | None = None
    running: Running | None = None
    since: datetime = field(default_factory=_now)

    @property
    def servable(self) -> bool:
        return self.status.servable

    @property
    def reachable(self) -> bool:
        return self.fault is None


class Watcher:
    """Ask the probe at an interval and judge what it sees.

    Parameters
    ----------
    expected: what the code needs.
    probe: reads the database; raises DatabaseUnreachable where it cannot.
    interval_s: pause between two checks while the schema is servable and the database answers.
    hurried_interval_s: the pause otherwise, short, since somebody is waiting for the end of it.
    """

    def __init__(
        self, expected: Expected, probe: Probe, *, interval_s: float = 1.0, hurried_interval_s: float = 0.25
    ) -> None:
        self.verdict = Verdict(unreachable(expected, "not checked yet"))
        self._expected = expected
        self._probe = probe
        self._interval_s = interval_s
        self._hurried_interval_s = hurried_interval_s
        self._checked = asyncio.Event()
        self._asked = asyncio.Event()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with each judgement that differs from the one before."""
        self._listeners.append(listener)

    async def first_answer(self) -> Verdict:
        """Wait until the database has answered once."""
        while self.verdict.checked_at is None:
            await self.next_check()
        return self.verdict

    async def next_check(self) -> Verdict:
        """Wait for the end of the check under way, or of the next."""
        checked = self._checked
        await checked.wait()
        return self.verdict

    async def run(self) -> None:
        """Check for ever. Ends only by cancellation."""
        while True:
            await self.check()
            hurried = not (self.verdict.servable and self.verdict.reachable)
            self._asked.clear()
            pause_s = self._hurried_interval_s if hurried else self._interval_s
            # Not asyncio.wait_for: Python 3.11's swallows a cancellation that comes with the event.
            end_of_pause = asyncio.get_running_loop().call_later(pause_s, self._asked.set)
            try:
                await self._asked.wait()
            finally:
                end_of_pause.cancel()

    def check_soon(self) -> None:
        """End the pause: somebody has met a database that the last verdict does not describe."""
        self._asked.set()

    async def check(self) -> Verdict:
        """Ask once, now."""
        before = self.verdict
        try:
            observed = await self._probe()
            status = judge(self._expected, observed)
            since = before.since if before.status.state is status.state else _now()
            now = Verdict(status, None, time.monotonic(), observed.last_run, observed.running, since)
        except DatabaseUnreachable as fault:
            now = self._without_answer(before, fault.message, fault.solution)
        except Exception as error:
            # Whatever it is, a watcher that is gone would leave its last verdict standing for ever.
            if before.fault is None or not before.fault.startswith(_CHECK_FAILED):
                logger.exception("schema check failed in a way that was not foreseen")
            now = self._without_answer(before, f"{_CHECK_FAILED} ({type(error).__name__})")
        self.verdict = now
        self._tell(before, now)
        done, self._checked = self._checked, asyncio.Event()
        done.set()
        return self.verdict

    def _without_answer(self, before: Verdict, fault: str, solution: str = "") -> Verdict:
        status = unreachable(self._expected, fault, solution) if before.checked_at is None else before.status
        return Verdict(status, fault, before.checked_at, before.last_run, since=before.since)

    def _tell(self, before: Verdict, now: Verdict) -> None:
        if before.fault != now.fault:
            if now.fault is not None:
                logger.warning("schema check failed: %s", now.fault, extra={"servable": now.servable})
            elif before.checked_at is not None:
                logger.info("schema check answers again")
        if before.status == now.status:
            return
        level = logging.INFO if now.servable and not now.status.warning else logging.WARNING
        logger.log(level, "schema is %s: %s", now.status.state, now.status.evidence, extra=_fields(now.status))
        for listener in self._listeners:
            listener(now.status)


def _fields(status: SchemaStatus) -> dict[str, object]:
    return {
        "code": status.state.value,
        "servable": status.servable,
        "database_revisions": list(status.database_revisions),
        "code_heads": list(status.code_heads),
        "solution": status.solution,
    }
