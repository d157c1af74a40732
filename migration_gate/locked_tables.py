"""Trying again where a table is locked by somebody else, and telling by whom."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.exc import DBAPIError

from migration_gate.blockers import Blocker, Lookout
from migration_gate.errors import StatementRefused
from migration_gate.postgres.sqlstate import LOCK_NOT_AVAILABLE

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def tried_until_unlocked(
    migrate: Callable[[], None], lookout: Lookout, retry_s: float, lock_timeout: str
) -> Iterator[float]:
    """Call `migrate` until no table that it needs is locked; yields the pause in seconds before each further try.

    Between two tries those who queued up behind the migration have their turn.

    Raises
    ------
    StatementRefused: a table stayed locked for `retry_s` seconds.
    sqlalchemy.exc.DBAPIError: PostgreSQL refused a statement for another reason.
    """
    deadline = time.monotonic() + retry_s
    pause_s = FIRST_PAUSE_S
    tries = 1
    while True:
        try:
            migrate()
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() + pause_s > deadline:
                raise _locked_out(error, lookout.blockers, retry_s, tries, lock_timeout) from error
        # Without jitter two migrations of tables that refer to each other would meet again and again.
        wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311
        logger.warning(
            "a table is locked by another session, trying again in %.1f s%s",
            wait_s,
            _by(lookout.blockers),
            extra={"lock_retries": tries},
        )
        yield wait_s
        time.sleep(wait_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        tries += 1


def _locked_out(
    error: DBAPIError, blockers: Sequence[Blocker], retry_s: float, tries: int, lock_timeout: str
) -> StatementRefused:
    statement = " ".join(str(error.statement).split())
    # PostgreSQL lets a role end its own sessions, and those of others only with pg_signal_backend.
    by_whom = f", as role {blockers[0].role} or as an administrator" if blockers else ""
    first = f"{by_whom}: SELECT pg_terminate_backend({blockers[0].pid})" if blockers else ""
    return StatementRefused(
        f"A table stayed locked by another session for {retry_s:.0f} s, in {tries}"
        f" tries of {lock_timeout} each{_by(blockers)}\n  The statement: {statement}",
        solution=f"let that session end, or end it{first}; then run this command again",
    )


def _by(blockers: Sequence[Blocker]) -> str:
    return f", held by {'; '.join(str(each) for each in blockers)}" if blockers else ""
