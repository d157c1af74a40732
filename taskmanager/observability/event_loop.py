"""How late the event loop is: the delay of a timer that does nothing else.

Whoever blocks the loop, with a computation or a call that waits, delays every request by as much.
"""

from __future__ import annotations

import asyncio

INTERVAL_S = 0.1
# The largest delay is kept for one to two of them: a scrape that comes late sees it still.
KEPT_S = 5.0


class EventLoopLag:
    """Measures it for as long as `run` runs."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._before_s = 0.0

    @property
    def largest_s(self) -> float:
        """The largest delay of the last five to ten seconds, in seconds."""
        return max(self._now_s, self._before_s)

    async def run(self) -> None:
        """Measure for ever. Ends only by cancellation."""
        loop = asyncio.get_running_loop()
        half_ends = loop.time() + KEPT_S
        while True:
            due = loop.time() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            now = loop.time()
            self._now_s = max(self._now_s, now - due)
            if now >= half_ends:
                half_ends = now + KEPT_S
                self._before_s, self._now_s = self._now_s, 0.0
