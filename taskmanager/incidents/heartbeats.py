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
from taskmanager.incidents.silences import (
    fallen_silent,
    heard_again,
    said_of_return,
    said_of_silence,
    silence_of,
    silent_since,
)
from taskmanager.incidents.watchdog import MOST_WATCHDOGS, UNNAMED, Switches, name_of
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
    tell: has people told, by the name of the watchdog, of its silence and of its return; must not block.
    expected: whether the first heartbeat is awaited too, though none ever came.
    reopened_within: a silence that comes back so soon after its resolution reopens its incident.
    """

    def __init__(
        self,
        written: Written,
        tell: Callable[[str, str], None],
        *,
        timeout_s: float,
        expected: bool,
        reopened_within: timedelta,
    ) -> None:
        self._written = written
        self._tell = tell
        self._told: set[str] = set()
        """The watchdogs whose silence this process told, and not yet their return."""
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
            await self._tell_return(name)

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

    async def _tell_return(self, name: str) -> None:
        watchdog = self._written.history.watchdogs.get(name)
        told = self._told & {name, UNNAMED}
        self._told -= told
        text = said_of_return(watchdog, silence_of(self._written.history, watchdog))
        for subject in told:  # also where the journal cannot be written
            self._tell(subject, text)
        resolved = await self._write_where_needed(
            lambda history: heard_again(history, history.watchdogs.get(name), _now())
        )
        if resolved and not told:
            self._tell(name, text)

    async def _tell_silence(self, name: str) -> None:
        age_s = self.switches.age_s(name, time.monotonic())
        timeout_s = self.switches.timeout_s

        def silence(history: History) -> list[Entry]:
            return fallen_silent(
                history,
                history.watchdogs.get(name),
                age_s=age_s,
                timeout_s=timeout_s,
                at=_now(),
                reopened_within=self._reopened_within,
            )

        watchdog = self._written.history.watchdogs.get(name)
        try:
            written = await self._write_where_needed(silence)
        except JournalNotWritable:
            if name not in self._told:
                self._say_silent(name, said_of_silence(watchdog, silent_since(_now(), age_s, timeout_s), None))
            raise
        incident = silence_of(self._written.history, watchdog)
        if incident is None or not incident.open:
            return
        # What was told before this process began may not have been heard.
        if written or name not in self._told:
            self._say_silent(name, said_of_silence(watchdog, incident.alert.starts_at or incident.since, incident))

    def _say_silent(self, name: str, text: str) -> None:
        self._told.add(name)
        self._tell(name, text)
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
