"""The watchdogs' heartbeats as they come, and what is written when one of them stays away or is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from taskmanager.incidents.entries import RECEIVER, Alert, Entry, Kind
from taskmanager.incidents.history import History
from taskmanager.incidents.journal import JournalNotWritable
from taskmanager.incidents.silences import fallen_silent, heard_again
from taskmanager.incidents.watchdog import MOST_WATCHDOGS, Switches, name_of
from taskmanager.incidents.webhook import Notice

logger = logging.getLogger(__name__)


class Written(Protocol):
    """The history, and the one way to change it; `write` raises JournalNotWritable."""

    @property
    def history(self) -> History: ...

    def write(self, decision: Callable[[History], list[Entry]]) -> Awaitable[tuple[Entry, ...]]: ...


class Heartbeats:
    """The dead man's switches, and the incidents of those that were let go.

    Parameters
    ----------
    expected: whether the first heartbeat is awaited too, though none ever came.
    reopened_within: a silence that comes back so soon after its resolution reopens its incident.
    """

    def __init__(self, written: Written, *, timeout_s: float, expected: bool, reopened_within: timedelta) -> None:
        self._written = written
        self._reopened_within = reopened_within
        self._told_of_too_many = False
        self.switches = Switches(timeout_s, written.history.watchdogs, time.monotonic(), expected=expected)

    async def take(self, heartbeat: Notice) -> None:
        """A heartbeat, or the news that there will be none. Raises JournalNotWritable."""
        name = self._counted_as(heartbeat.alert)
        if heartbeat.firing:
            self.switches.beat(name, time.monotonic())
        else:
            self.switches.stop(name)
        if name not in self._written.history.watchdogs:
            await self._written.write(lambda history: _first(history, heartbeat.alert))
        if heartbeat.firing:
            await self._write_where_needed(lambda history: heard_again(history, history.watchdogs.get(name), _now()))

    async def look(self) -> None:
        """Write of those that are silent. Raises JournalNotWritable, when each has been looked at."""
        failure: JournalNotWritable | None = None
        for name in self.switches.silent(time.monotonic()):
            try:
                await self._tell_silence(name)
            except JournalNotWritable as error:
                failure = error
        if failure is not None:
            raise failure

    async def _tell_silence(self, name: str) -> None:
        age_s = self.switches.age_s(name, time.monotonic())

        def silence(history: History) -> list[Entry]:
            return fallen_silent(
                history,
                history.watchdogs.get(name),
                age_s=age_s,
                timeout_s=self.switches.timeout_s,
                at=_now(),
                reopened_within=self._reopened_within,
            )

        if await self._write_where_needed(silence):
            logger.error("the Watchdog is silent: no alert may be reaching this receiver")

    async def _write_where_needed(self, decision: Callable[[History], list[Entry]]) -> tuple[Entry, ...]:
        """Without a fork of the history, and without waiting for a turn, where nothing is to be written: this is asked
        at every heartbeat, and every second of a silence."""
        return await self._written.write(decision) if decision(self._written.history) else ()

    def _counted_as(self, watchdog: Alert) -> str:
        known, name = self._written.history.watchdogs, name_of(watchdog)
        if name in known or len(known) < MOST_WATCHDOGS:
            return name
        last = list(known)[-1]
        if not self._told_of_too_many:
            self._told_of_too_many = True
            logger.error("more than %d watchdogs come here; the others are counted as the last, %s", len(known), last)
        return last


def _first(history: History, watchdog: Alert) -> list[Entry]:
    if name_of(watchdog) in history.watchdogs:
        return []
    return [Entry(Kind.WATCHDOG_SEEN, _now(), RECEIVER, alert=watchdog)]


def _now() -> datetime:
    return datetime.now(UTC)
