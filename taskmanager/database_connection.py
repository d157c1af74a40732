"""One session of the request path: how it is opened, what it is told at its start, how it ends."""

from __future__ import annotations

import logging

import asyncpg

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT_S = 1.4

# No statement ever sets session state, so there is none to reset: settings stand in the connection's start.
# PostgreSQL's own timeout comes first, since it tells more than silence does.
SESSION = {
    "application_name": "taskmanager",
    "timezone": "UTC",  # in which times are told
    # Statements are written for one plan, whatever their arguments; it is made once and spares planning.
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000:.0f}",
    "lock_timeout": "1200",  # the shorter one, since it tells what the statement waited for
    # A network forgets connections that rest, and tells nobody.
    "tcp_keepalives_idle": "60",
    "idle_in_transaction_session_timeout": "10000",
}


async def connect(url: str, timeout_s: float) -> asyncpg.Connection:
    """Open one, whose beginning and end the log tells."""
    connection = await asyncpg.connect(url, timeout=timeout_s, server_settings=SESSION)
    pid = connection.get_server_pid()
    logger.info("database connection opened", extra={"db.server_pid": pid})
    connection.add_termination_listener(
        lambda _: logger.info("database connection ended", extra={"db.server_pid": pid})
    )
    return connection


async def close(connection: asyncpg.Connection) -> None:
    """End it in an orderly way; at once where the server does not answer."""
    try:
        await connection.close(timeout=2)
    except Exception:  # noqa: BLE001  a server that does not even take a farewell
        connection.terminate()
