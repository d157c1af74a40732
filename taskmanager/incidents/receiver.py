"""The one place that changes the history: decides, writes, and only then counts what was written.

What is asked of it at once is done one after the other. Writing happens in a thread, so that a disk that hangs does
not silence /livez and /metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from taskmanager.incidents.announcer import Announcer
from taskmanager.incidents.decisions import REOPENED_WITHIN, decide
from taskmanager.incidents.entries import RECEIVER, Entry, Kind
from taskmanager.incidents.heartbeats import Heartbeats
from taskmanager.incidents.history import History, Incident, fold
from taskmanager.incidents.journal import Damage, Journal, JournalNotWritable
from taskmanager.incidents.webhook import Notification

logger = logging.getLogger(__name__)


class NoSuchIncident(LookupError):
    """There is no incident of this number."""


class AlreadySo(Exception):
    """The incident is already in the state that is asked for; the message says since when and by whom."""


class Receiver:
    """The history while it runs.

    Parameters
    ----------
    journal: where every line goes before it counts.
    watchdog_timeout_s: after so long without a heartbeat an incident is opened.
    expect_watchdog: whether the first heartbeat is awaited too, though none ever came.
    reopened_within: an alert that comes back so soon after its resolution reopens its incident.
    webhook_url: told when alerting is silent and when it is back; see `Announcer`.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        watchdog_timeout_s: float = 60.0,
        expect_watchdog: bool = False,
        reopened_within: timedelta = REOPENED_WITHIN,
        webhook_url: str = "",
    ) -> None:
        self._journal = journal
        self.history: History = fold(journal.contents.entries)
        self.damage: tuple[Damage, ...] = journal.contents.damage
        self.announcer = Announcer(webhook_url)
        self.heartbeats = Heartbeats(
            self,
            self.announcer.tell,
            timeout_s=watchdog_timeout_s,
            expected=expect_watchdog,
            reopened_within=reopened_within,
        )
        self.reopened_within = reopened_within
        self._turn = asyncio.Lock()
        self.write_failures = 0
        self.alertmanager_failures = 0
        """Times that it was asked for its alerts and did not answer."""
        self.not_writable_since: datetime | None = None

    @property
    def journal_bytes(self) -> int:
        return self._journal.size_bytes

    async def take(self, notification: Notification) -> None:
        """Write what a notification tells. Raises JournalNotWritable: then Alertmanager must send it again."""
        heartbeats = [notice for notice in notification.notices if notice.watchdog]
        alerts = [notice for notice in notification.notices if not notice.watchdog]
        if alerts:
            await self.write(lambda history: decide(history, alerts, _now(), self.reopened_within))
        for heartbeat in heartbeats:
            await self.heartbeats.take(heartbeat)

    async def act(self, kind: Kind, id_: int, by: str, text: str) -> Incident:
        """A person acknowledges, notes or resolves.

        Raises
        ------
        NoSuchIncident, AlreadySo, JournalNotWritable.
        """

        def act(history: History) -> list[Entry]:
            incident = history.incidents.get(id_)
            if incident is None:
                raise NoSuchIncident(id_)
            _must_not_be_so(incident, kind)
            return [Entry(kind, _now(), by, id_, incident.alert, text=text)]

        await self.write(act)
        return self.history.incidents[id_]

    async def deployed(self, by: str, text: str, facts: dict[str, str]) -> Entry:
        """Record a deployment. Raises JournalNotWritable."""
        (written,) = await self.write(lambda history: [Entry(Kind.DEPLOYMENT, _now(), by, text=text, facts=facts)])
        return written

    async def keep_watch(self, every_s: float = 1.0) -> None:
        """Look for silence, and for a disk that can be written again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except JournalNotWritable:
                pass  # told when it happened, and tried again at the next look
            except Exception:
                # A task that ended here would leave a dead man's switch that never acts, and nobody would know.
                logger.exception("looking for the heartbeat failed")

    async def look(self) -> None:
        """One look of `keep_watch`. Raises JournalNotWritable."""
        if self.not_writable_since is not None:
            await self.write(lambda history: [])
        await self.heartbeats.look()

    async def write(self, decision: Callable[[History], list[Entry]]) -> tuple[Entry, ...]:
        """Write what `decision` finds in a fork of the history, and make it the history once it is on the disk.

        Raises JournalNotWritable, and what `decision` raises.
        """
        # Shielded: whoever no longer waits must not part what is on the disk from what is known here.
        return await asyncio.shield(asyncio.create_task(self._write_in_turn(decision)))

    async def _write_in_turn(self, decision: Callable[[History], list[Entry]]) -> tuple[Entry, ...]:
        async with self._turn:
            entries = decision(self.history.fork())
            return await self._written(entries) if entries or self.not_writable_since is not None else ()

    async def _written(self, entries: list[Entry]) -> tuple[Entry, ...]:
        # Whoever writes first after a failure also writes that there was one: nobody else would know of it any more.
        recovered = [] if self.not_writable_since is None else [self._recovered(self.not_writable_since)]
        try:
            written = await asyncio.to_thread(self._journal.append, [*entries, *recovered])
        except JournalNotWritable as error:
            self.write_failures += 1
            if self.not_writable_since is None:
                self.not_writable_since = _now()
                logger.error("%s; what was sent is refused, so that it is sent again", error)
            raise
        if self.not_writable_since is not None:
            self.not_writable_since = None
            logger.warning("the journal can be written again")
        after = self.history.fork()
        for entry in written:
            after.take(entry)
        self.history = after
        return written[: len(entries)]

    def _recovered(self, since: datetime) -> Entry:
        facts = {"not_writable_since": since.isoformat(timespec="seconds"), "failures": str(self.write_failures)}
        return Entry(Kind.JOURNAL_RECOVERED, _now(), RECEIVER, facts=facts)


def _must_not_be_so(incident: Incident, kind: Kind) -> None:
    if kind is Kind.RESOLVED and not incident.open:
        raise AlreadySo(f"Incident {incident.id} is resolved already, by {incident.resolved_by}.")
    if kind is Kind.ACKNOWLEDGED and not incident.open:
        raise AlreadySo(f"Incident {incident.id} is resolved, by {incident.resolved_by}; there is nothing to take up.")
    if kind is Kind.ACKNOWLEDGED and incident.acknowledged_at is not None:
        raise AlreadySo(f"Incident {incident.id} is acknowledged already, by {incident.acknowledged_by}.")


def _now() -> datetime:
    return datetime.now(UTC)
