"""A webhook of the receiver's own, for the one thing that Alertmanager cannot tell anybody: that alerting is silent.

Its address is a secret: it is in no line of the log, and in no error.
"""

from __future__ import annotations

import asyncio
import logging

from taskmanager.incidents import web

logger = logging.getLogger(__name__)

# Short: whoever stops this process waits for the answer too.
ANSWER_WITHIN_S = 5.0

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Announcer:
    """Says each piece of news again, with growing pauses, until it is accepted or newer news of its subject comes.

    `url`: what takes a POST of `{"text": …}`, as Slack and compatible chats do; where it is empty nobody is told.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._news: dict[str, str] = {}
        self._there_is_news = asyncio.Event()
        self._takes = True
        self.failures = 0

    def tell(self, subject: str, text: str) -> None:
        """Have it told; returns at once. What was not yet accepted of the same subject is no longer said."""
        if self._url:
            self._news[subject] = text
            self._there_is_news.set()

    async def keep_telling(self) -> None:
        """Tell what there is to tell, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._there_is_news.wait()
            subject, text = next(iter(self._news.items()))
            if await self._accepted(text):
                self._done(subject, text)
                pause_s = FIRST_PAUSE_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _done(self, subject: str, text: str) -> None:
        if self._news[subject] == text:
            del self._news[subject]
        if not self._news:
            self._there_is_news.clear()

    async def _accepted(self, text: str) -> bool:
        try:
            # In a thread: no alert waits for it.
            await asyncio.to_thread(web.post, self._url, {"text": text}, timeout_s=ANSWER_WITHIN_S)
        except web.Unreachable as error:
            self.failures += 1
            if self._takes:
                self._takes = False
                logger.error("the webhook did not take what it was told, which is tried again: %s", error)
            return False
        if not self._takes:
            self._takes = True
            logger.info("the webhook takes what it is told again")
        return True
