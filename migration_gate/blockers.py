"""Who keeps a migration waiting, and how far its index builds are: seen from a second session while it works.

While a session waits it cannot say for whom, and when its wait is over PostgreSQL no longer knows. So a thread with
a session of its own asks, several times a second. It only reads.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate.sql_text import without_values

logger = logging.getLogger(__name__)

ASK_EVERY_S = 0.2
TELL_EVERY_S = 5.0

# A wait that is over sooner is nobody's business.
WORTH_TELLING_S = 0.5

# PostgreSQL's words in the place of another role's statement; its state and times are hidden then as well.
_HIDDEN = "<insufficient privilege>"


@dataclass(frozen=True)
class Blocker:
    """A session that a migration waits for. `statement` is its last one, without the values in it."""

    pid: int
    name: str
    role: str
    state: str
    for_s: float
    statement: str

    def __str__(self) -> str:
        if self.statement == _HIDDEN:
            return (
                f"server process {self.pid} ({self.name or 'unnamed'}, role {self.role}; what it does is hidden from"
                " the migrator's role until an administrator runs: GRANT pg_read_all_stats TO that role)"
            )
        doing = f", {self.state} for {self.for_s:.0f} s" if self.state else ""
        last = f": {self.statement}" if self.statement else ""
        return f"server process {self.pid} ({self.name or 'unnamed'}, role {self.role}{doing}){last}"


class Lookout:
    """Looks after the session `pid` from a thread, between `with` and its end.

    `blockers` are the sessions that were last seen to keep it waiting.
    """

    def __init__(self, engine: Engine, pid: int) -> None:
        self.blockers: tuple[Blocker, ...] = ()
        self._engine = engine
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="migration-gate lookout", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _look(self) -> None:
        waiting_since: float | None = None
        told = built = 0.0
        try:
            with self._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                while not self._ended.wait(ASK_EVERY_S):
                    found = _blockers(connection, self._pid)
                    now = time.monotonic()
                    if not found:
                        waiting_since = None
                    else:
                        self.blockers = found
                        waiting_since = waiting_since or now
                        if now - waiting_since >= WORTH_TELLING_S and now - told >= TELL_EVERY_S:
                            told = now
                            _tell(found)
                    if now - built >= TELL_EVERY_S:
                        built = now
                        _tell_progress(connection, self._pid)
        except DBAPIError as error:
            # What it would have told is a help to people; the migration does not depend on it.
            logger.debug("the lookout has lost its session: %s", type(error).__name__)


def _tell(found: tuple[Blocker, ...]) -> None:
    for blocker in found:
        logger.warning("waiting for a lock, blocked by %s", blocker, extra={"blocked_by": blocker.pid})


def _blockers(connection: Connection, pid: int) -> tuple[Blocker, ...]:
    rows = connection.exec_driver_sql(
        """SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(a.state, ''),
                  coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.state_change, a.backend_start)),
                           0)::float8, coalesce(a.query, '')
           FROM unnest(pg_blocking_pids(%s)) AS b (pid) JOIN pg_stat_activity a ON a.pid = b.pid ORDER BY a.pid""",
        (pid,),
    ).all()
    return tuple(
        Blocker(pid_, name, role, state, for_s, without_values(query)) for pid_, name, role, state, for_s, query in rows
    )


def _tell_progress(connection: Connection, pid: int) -> None:
    row = connection.exec_driver_sql(
        """SELECT coalesce(index_relid, 0)::regclass::text, phase,
                  coalesce(round(100.0 * blocks_done / nullif(blocks_total, 0)), 0)::int
           FROM pg_stat_progress_create_index WHERE pid = %s""",
        (pid,),
    ).first()
    if row is not None:
        logger.info("building index %s: %s, %s %%", *row)
