"""What is counted and logged of each request, a hundredth of a second's requests together.

One after the other, counting and logging are done from a cold cache, among all else that a request needs, and take
twice as long. So a request only leaves what there is to tell of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from taskmanager.dispatch.admission import method_label
from taskmanager.dispatch.exchange import length_of
from taskmanager.dispatch.route_table import PathEntry
from taskmanager.observability.request_log import RequestLog
from taskmanager.observability.request_metrics import RequestMetrics

NO_HANDLER = "none"

TELL_EVERY_S = 0.01

# When it ended in seconds of Unix time, then what `RequestRecords.take` is given.
_Record = tuple[float, str, str, PathEntry | None, int, float, bytes | None, int, Mapping[str, str] | None]


class RequestRecords:
    """Takes a record of each request, and tells the metrics and the log of them.

    Not safe across threads: it belongs to the event loop. Where the log goes through the pipe of all loggers, each is
    told at once, while its trace is the current one.
    """

    def __init__(self, metrics: RequestMetrics, log: RequestLog) -> None:
        self.metrics = metrics
        self._log = log
        self._waiting: list[_Record] = []

    def take(
        self,
        request_id: str,
        method: str,
        entry: PathEntry | None,
        status: int,
        duration_s: float = 0.0,
        received: bytes | None = None,
        sent: int = 0,
        quiet: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Take a request, whoever answered it.

        Parameters
        ----------
        received: its Content-Length, None where it has none.
        sent: the answer's, in bytes.
        quiet: a probe or a scrape, which is not counted, and logged for those alone who debug.
        trace: what names its trace in the log, where it has one.
        """
        if quiet:
            route = entry.path if entry is not None else None
            self._log.write_quiet((time.time(), request_id, method_label(method), route, status, duration_s, trace))
            return
        waiting = self._waiting
        waiting.append((time.time(), request_id, method, entry, status, duration_s, received, sent, trace))
        if not self._log.writes_together:
            self.tell()
        elif len(waiting) == 1:
            asyncio.get_running_loop().call_later(TELL_EVERY_S, self.tell)

    def tell(self) -> None:
        """Count and log what was taken since the last time."""
        waiting, self._waiting = self._waiting, []
        count = self.metrics.count
        lines = []
        for ended_at, request_id, method, entry, status, duration_s, received, sent, trace in waiting:
            label = method_label(method)
            route = entry.path if entry is not None else None
            count(label, status, route or NO_HANDLER, duration_s, length_of(received), sent)
            lines.append((ended_at, request_id, label, route, status, duration_s, trace))
        if lines:
            self._log.write(lines)
