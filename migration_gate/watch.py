"""One task that keeps the verdict fresh while a service runs.

A request reads an attribute; it never asks the database whether it may ask the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from migration_gate.errors import DatabaseUnreachable
from migration_gate.expected import Expected
from migration_gate.observed import LastRun, Observed, Override, Running
from migration_gate.states import State
from migration_gate.status import SchemaStatus, judge, unreachable

logger = logging.getLogger(__name__)

NOT_CHECKED = "not checked yet"
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
    migrator at work now, `since` when the state was first seen, and `stale_since` when the database was last found
    away, None while it answers. `observed` is the last answer, however old. `servable` is decided once, here, and not
    by each request.
    """

    status: SchemaStatus
    fault: str | None = NOT_CHECKED
    checked_at: float | None = None
    last_run: LastRun | None = None
    running: Running | None = None
    since: datetime = field(default_factory=_now)
    stale_since: datetime | None = None
    observed: Observed | None = None
    servable: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "servable", self.status.servable)

    @property
    def reachable(self) -> bool:
        return self.fault is None

    @property
    def override(self) -> Override | None:
        """On whose word traffic flows whatever the state, and until when."""
        return self.status.override


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
        self.verdict = Verdict(unreachable(expected, NOT_CHECKED))
        self._expected = expected
        self._probe = probe
        self._interval_s = interval_s
        self._hurried_interval_s = hurried_interval_s
        self._checking = False
        self._checked = asyncio.Event()
        self._asked = asyncio.Event()
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with each judgement that differs from the one before, so whenever the revision moves."""
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
        """Ask once, now. Who asks while somebody else does gets that answer: there is one session to ask on."""
        if self._checking:
            return await self.next_check()
        self._checking = True
        try:
            before, now = self.verdict, await self._ask()
            self.verdict = now
            self._tell(before, now)
        finally:
            self._checking = False
            done, self._checked = self._checked, asyncio.Event()
            done.set()
        return self.verdict

    async def _ask(self) -> Verdict:
        before = self.verdict
        try:
            observed = await self._probe()
            status = judge(self._expected, observed)
            since = before.since if before.status.state is status.state else _now()
            return Verdict(
                status, None, time.monotonic(), observed.last_run, observed.running, since, observed=observed
            )
        except DatabaseUnreachable as fault:
            return self._without_answer(before, fault.message, fault)
        except Exception as error:
            # Whatever it is, a watcher that is gone would leave its last verdict standing for ever.
            if before.fault is None or not before.fault.startswith(_CHECK_FAILED):
                logger.exception("schema check failed in a way that was not foreseen")
            return self._without_answer(before, f"{_CHECK_FAILED} ({type(error).__name__})")

    def _without_answer(self, before: Verdict, fault: str, cause: DatabaseUnreachable | None = None) -> Verdict:
        status = before.status
        if before.checked_at is None:
            status = unreachable(
                self._expected, fault, cause.solution if cause else "", cause.rung.value if cause else None
            )
        elif status.override is not None and status.override.until <= _now():
            # Nobody can say that it was prolonged.
            status = replace(status, override=None)
        stale_since = before.stale_since or _now()
        return Verdict(
            status,
            fault,
            before.checked_at,
            before.last_run,
            since=before.since,
            stale_since=stale_since,
            observed=before.observed,
        )

    def _tell(self, before: Verdict, now: Verdict) -> None:
        if before.fault != now.fault:
            if now.fault is not None:
                # The state that the verdict keeps meanwhile is no code of this fault.
                fields = _fields(now.status) | {"code": State.UNREACHABLE.value, "servable": now.servable}
                del fields["solution"]
                logger.warning("schema check failed: %s", now.fault, extra=fields)
            elif before.checked_at is not None:
                logger.info("schema check answers again", extra=_fields(now.status))
        if before.override != now.override:
            _tell_of_override(before.override, now.override, now.status)
        if before.status == now.status:
            return
        level = logging.INFO if now.servable and not now.status.warning else logging.WARNING
        logger.log(level, "schema is %s: %s", now.status.state, now.status.evidence, extra=_fields(now.status))
        for listener in self._listeners:
            try:
                listener(now.status)
            except Exception:
                logger.exception("a listener failed to take in that the schema is %s", now.status.state)


def _tell_of_override(before: Override | None, now: Override | None, status: SchemaStatus) -> None:
    if now is not None:
        logger.error(
            "THE SCHEMA GATE IS OVERRIDDEN by %s until %s: %s. Traffic flows whatever the schema is (now: %s)",
            now.by,
            now.until.isoformat(timespec="seconds"),
            now.reason,
            status.state,
            extra=_fields(status)
            | {"code": "override", "override_by": now.by, "override_until": now.until.isoformat()},
        )
    elif before is not None:
        logger.warning(
            "the override of the schema gate has ended: it was granted by %s. The schema is %s",
            before.by,
            status.state,
            extra=_fields(status) | {"code": "override_ended"},
        )


def _fields(status: SchemaStatus) -> dict[str, object]:
    return {
        "code": status.state.value,
        "servable": status.servable,
        "database_revisions": list(status.database_revisions),
        "code_heads": list(status.code_heads),
        "solution": status.solution,
    }
