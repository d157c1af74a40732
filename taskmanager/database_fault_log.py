"""What statements and connections meet, as lines of the log: one for each kind of error in five seconds, however many
requests meet it, and none that is lost.

While the database is away every request meets it; a line for each would bury the one that tells why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from taskmanager.database_errors import ErrorKind, is_the_clients, kind_of
from taskmanager.observability import sentry
from taskmanager.observability.database_metrics import DatabaseMetrics
from taskmanager.observability.fault import sqlstate_of, type_name

logger = logging.getLogger(__name__)

LINE_INTERVAL_S = 5.0

# The alert's, so that who is called by it finds the line, and the runbook.
_CODE = "database_error"


class DatabaseFaultLog:
    """Counts each error, and tells of it within five seconds. Not safe across threads: it belongs to the event loop.

    It is true while the database is away: from the first request that was refused for it until `ended`.
    """

    def __init__(self, metrics: DatabaseMetrics) -> None:
        self._metrics = metrics
        self._kinds: dict[ErrorKind, _Untold] = {}
        self._refused = 0

    def __bool__(self) -> bool:
        return self._refused > 0

    def met(self, error: BaseException, sql: str) -> None:
        """A statement, or the connection for one, has met this."""
        self._metrics.failed(error)
        kind = kind_of(error)
        if is_the_clients(kind):
            return
        untold = self._kinds.setdefault(kind, _Untold(kind))
        if untold.count == 0:
            untold.fields = {"exception.type": type_name(error), "db.query.summary": self._metrics.operation(sql)}
            if (sqlstate := sqlstate_of(error)) is not None:
                untold.fields["db.response.status_code"] = sqlstate
        untold.count += 1
        untold.tell_in_time()

    def refused(self, error: BaseException) -> None:
        """A request was refused since the database is away."""
        self._refused += 1
        if self._refused == 1:
            sentry.report(error, code="database_unavailable")

    def ended(self) -> None:
        """The database serves again."""
        logger.info("database serves again", extra={"requests_refused": self._refused})
        self._refused = 0

    def close(self) -> None:
        """Tell now what would have been told later."""
        for untold in self._kinds.values():
            untold.tell_at_once()


@dataclass(slots=True)
class _Untold:
    """The errors of a kind since the last line about it; `fields` are of the first of them."""

    kind: ErrorKind
    count: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    told_at: float = float("-inf")
    timer: asyncio.TimerHandle | None = None

    def tell_in_time(self) -> None:
        wait_s = self.told_at + LINE_INTERVAL_S - time.monotonic()
        if wait_s <= 0:
            self.tell_at_once()
        elif self.timer is None:
            # In the context of whoever met the first: the line bears that one's request id.
            self.timer = asyncio.get_running_loop().call_later(wait_s, self.tell_at_once)

    def tell_at_once(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.count == 0:
            return
        fields = {"code": _CODE, "kind": self.kind.value, "errors": self.count, **self.fields}
        logger.warning("database error", extra=fields)
        self.count, self.told_at = 0, time.monotonic()
