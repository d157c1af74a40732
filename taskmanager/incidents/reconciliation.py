"""Asking Alertmanager, from time to time, whether what is open here is still there.

In a task and a thread of its own: a webhook never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Protocol

from taskmanager.incidents import web
from taskmanager.incidents.absences import Absences, Held, NotAlertmanager, read_held, returned, worth_asking
from taskmanager.incidents.entries import Entry
from taskmanager.incidents.history import History
from taskmanager.incidents.journal import JournalNotWritable
from taskmanager.incidents.receiver import Receiver

logger = logging.getLogger(__name__)

LOOKS_EVERY_S = 15.0

# Short: whoever stops this process waits for the answer too.
ANSWER_WITHIN_S = 3.0

_ALERTS = {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "true"}


class Asked(Protocol):
    """Asks Alertmanager what it has. Raises Unreachable where it does not answer."""

    def __call__(self) -> Held: ...


def asking(url: str) -> Asked:
    """Ask the Alertmanager at this address, with its path prefix where it has one."""

    def ask() -> Held:
        answer = web.ask(f"{url.rstrip('/')}/api/v2/alerts", query=_ALERTS, timeout_s=ANSWER_WITHIN_S)
        if answer.status != 200:
            raise web.Unreachable(f"it answered {answer.status}")
        try:
            return read_held(answer.content)
        except NotAlertmanager:
            raise web.Unreachable("its answer is not that of Alertmanager") from None

    return ask


class Reconciliation:
    """Resolves what is over and was not told, and opens what is back and was not told.

    Parameters
    ----------
    ask: gives what Alertmanager has; it may block.
    gone_after_s: see `Absences`.
    """

    def __init__(self, receiver: Receiver, ask: Asked, gone_after_s: float) -> None:
        self._receiver = receiver
        self._ask = ask
        self._absences = Absences(gone_after_s)
        self._answers = True

    async def keep_looking(self, every_s: float = LOOKS_EVERY_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except JournalNotWritable:
                pass  # told when it happened, and decided again at the next look
            except Exception:
                # A task that ended here would leave incidents open for ever, and nobody would know why.
                logger.exception("comparing the open incidents with Alertmanager's alerts failed")

    async def look(self) -> None:
        """One look. Raises JournalNotWritable."""
        if not worth_asking(self._receiver.history, datetime.now(UTC)):
            self._absences.forget()
            return
        try:
            held = await asyncio.to_thread(self._ask)
        except web.Unreachable as error:
            self._fails(error)
            return
        self._works()
        await self._receiver.write(lambda history: self._compare(history, held))

    def _compare(self, history: History, held: Held) -> list[Entry]:
        at, now = datetime.now(UTC), time.monotonic()
        back = returned(history, held, at, self._receiver.reopened_within)
        if not held.watchdog or not self._receiver.heartbeats.switches.heard(now):
            # Prometheus has not told it yet what fires, or what Alertmanager tells does not get here: what it lacks
            # need not be over.
            self._absences.forget()
            return back
        return back + self._absences.ended(history, held, at, now)

    def _fails(self, error: web.Unreachable) -> None:
        self._absences.forget()
        self._receiver.alertmanager_failures += 1
        if self._answers:
            self._answers = False
            logger.warning(
                "Alertmanager does not say which alerts it has: %s; nothing is resolved until it does", error
            )

    def _works(self) -> None:
        if not self._answers:
            self._answers = True
            logger.info("Alertmanager says again which alerts it has")
