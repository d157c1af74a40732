"""Why no session on the database could be had, in words, from any driver's exception.

The words hold no part of the address beyond what the operator needs, and never a password.
"""

from __future__ import annotations

import socket

from migration_gate.errors import DatabaseUnreachable

# SQLSTATE: sentence, whether the same attempt may succeed by itself, what to do.
_BY_SQLSTATE = {
    "28P01": ("PostgreSQL refused the password", False, "correct the password in the database's address"),
    "28000": ("PostgreSQL refused the login", False, "check the role's name and pg_hba.conf"),
    "3D000": ("the database does not exist on this server", False, "create it, or correct its name in the address"),
    "42501": ("the role may not connect", False, "GRANT CONNECT on the database to the role"),
    "42704": ("PostgreSQL does not know a parameter of the address", False, "correct what follows ? in the address"),
    "53300": ("PostgreSQL has no free connection", True, "close idle sessions or raise max_connections"),
    "55P03": ("a table is locked by another session", True, "wait; a migration may be at work"),
    "57014": ("PostgreSQL cancelled the statement after its timeout", True, "look for long locks: pg_stat_activity"),
    "57P01": ("PostgreSQL ended the session", True, "wait for the server to be back"),
    "57P02": ("PostgreSQL crashed and restarts", True, "wait for the server to be back"),
    "57P03": ("PostgreSQL is starting up or shutting down", True, "wait for the server to be ready"),
}


def describe(error: BaseException) -> DatabaseUnreachable:
    """The fault as a `DatabaseUnreachable`, its cause named as far as the exception tells it."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate in _BY_SQLSTATE:
        sentence, transient, solution = _BY_SQLSTATE[sqlstate]
        return DatabaseUnreachable(f"{sentence} (SQLSTATE {sqlstate})", transient=transient, solution=solution)
    if sqlstate:
        return DatabaseUnreachable(f"PostgreSQL answered SQLSTATE {sqlstate}", transient=True)
    if isinstance(error, socket.gaierror):
        return DatabaseUnreachable(
            "the server's name could not be resolved", transient=True, solution="check the host in the address"
        )
    if isinstance(error, TimeoutError):
        return DatabaseUnreachable("PostgreSQL did not answer in time", transient=True)
    if isinstance(error, ConnectionRefusedError):
        return DatabaseUnreachable(
            "nothing listens at the server's address and port", transient=True, solution="start PostgreSQL"
        )
    return DatabaseUnreachable(f"the session failed ({type(error).__name__})", transient=True)


# libpq gives a failed connection no SQLSTATE, only the server's text after "FATAL:".
_TRANSIENT_FATAL = ("starting up", "shutting down", "too many clients", "remaining connection slots", "recovery")


def describe_connect(error: BaseException) -> DatabaseUnreachable:
    """The fault of a connection that libpq could not make, named by the last cause in its text."""
    if getattr(error, "sqlstate", None):
        return describe(error)
    # One line for each address that was tried, with a hint indented below it or a DETAIL line after it.
    lines = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
    causes = [line for line in lines if "FATAL:" in line] or lines or [type(error).__name__]
    reason = causes[-1]
    _, fatal, refusal = reason.rpartition("FATAL:")
    transient = not fatal or any(sign in refusal for sign in _TRANSIENT_FATAL)
    return DatabaseUnreachable(
        (refusal if fatal else reason).strip(),
        transient=transient,
        solution="check that PostgreSQL runs and that the database's address names it"
        if transient
        else "correct the role, the password or the database's name in the address",
    )


NOT_TOLD = "(not told: it may quote a value)"


def primary_message(error: BaseException) -> str | None:
    """PostgreSQL's primary message with its SQLSTATE, as any driver carries it, or None for other errors.

    DETAIL is left out, since it quotes rows. Class 22 and what a function raises by itself (P0001) quote
    values in the primary message too.
    """
    original = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's error
    sqlstate = getattr(original, "sqlstate", None)
    if not sqlstate:
        return None
    diagnosis = getattr(original, "diag", None)  # psycopg's; asyncpg has the message alone as its argument
    message = diagnosis.message_primary if diagnosis is not None else str(next(iter(original.args), ""))
    return f"{NOT_TOLD if sqlstate[:2] in {'22', 'P0'} else message} (SQLSTATE {sqlstate})"
