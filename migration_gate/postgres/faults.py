"""Why no session on the database could be had, in words, from any driver's exception.

The words hold no part of the address beyond what the operator needs, and never a password.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass

from migration_gate.errors import DatabaseUnreachable, Rung
from migration_gate.postgres import tls
from migration_gate.postgres.startup import refusal_code


@dataclass(frozen=True)
class _Known:
    """What is known of a refusal: whether the same attempt may succeed by itself, how far it came, what to do."""

    sentence: str
    transient: bool
    rung: Rung
    solution: str


_CORRECT_PARAMETERS = "correct what follows ? in the address"

_BY_SQLSTATE = {
    "28P01": _Known(
        "PostgreSQL refused the password", False, Rung.LOGIN, "correct the password in the database's address"
    ),
    "28000": _Known("PostgreSQL refused the login", False, Rung.LOGIN, "check the role's name and pg_hba.conf"),
    "3D000": _Known(
        "the database does not exist on this server",
        False,
        Rung.DATABASE,
        "create it, or correct its name in the address",
    ),
    "42501": _Known("the role may not connect", False, Rung.DATABASE, "GRANT CONNECT on the database to the role"),
    "42704": _Known(
        "PostgreSQL does not know a parameter of the address",
        False,
        Rung.DATABASE,
        _CORRECT_PARAMETERS,
    ),
    "53300": _Known(
        "PostgreSQL has no free connection", True, Rung.LOGIN, "close idle sessions or raise max_connections"
    ),
    "55P03": _Known("a table is locked by another session", True, Rung.SESSION, "wait; a migration may be at work"),
    "57014": _Known(
        "PostgreSQL cancelled the statement after its timeout",
        True,
        Rung.SESSION,
        "look for long locks: pg_stat_activity",
    ),
    "57P01": _Known("PostgreSQL ended the session", True, Rung.SESSION, "wait for the server to be back"),
    "57P02": _Known("PostgreSQL crashed and restarts", True, Rung.STARTING_UP, "wait for the server to be back"),
    "57P03": _Known(
        "PostgreSQL is starting up or shutting down", True, Rung.STARTING_UP, "wait for the server to be ready"
    ),
}


def describe(error: BaseException) -> DatabaseUnreachable:
    """The fault as a `DatabaseUnreachable`, its cause named as far as the exception tells it."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate:
        return _of_code(sqlstate)
    if isinstance(error, socket.gaierror):
        return _transient("the server's name could not be resolved", Rung.DNS, "check the host in the address")
    if (fault := tls.of_python(error)) is not None:
        return fault
    if isinstance(error, TimeoutError):
        return _transient("PostgreSQL did not answer in time", Rung.TCP, "check that the host and port lead to it")
    if isinstance(error, ConnectionRefusedError):
        return _transient("nothing listens at the server's address and port", Rung.TCP, "start PostgreSQL")
    return _transient(f"the session failed ({type(error).__name__})", Rung.SESSION, "")


def _of_code(sqlstate: str) -> DatabaseUnreachable:
    known = _BY_SQLSTATE.get(sqlstate)
    if known is None:
        return _transient(f"PostgreSQL answered SQLSTATE {sqlstate}", Rung.SESSION, "")
    return DatabaseUnreachable(
        f"{known.sentence} (SQLSTATE {sqlstate})", transient=known.transient, rung=known.rung, solution=known.solution
    )


def _transient(sentence: str, rung: Rung, solution: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(sentence, transient=True, rung=rung, solution=solution)


# libpq gives a failed connection no SQLSTATE, only words: its own in English, the server's in the server's language.
_BY_WORDS = (
    # libpq's and psycopg's own words, before anything was tried.
    (
        r"^(?:connection is bad: )?(?:invalid|bad value for|weak sslmode|definition of service)\b",
        Rung.DATABASE,
        False,
        _CORRECT_PARAMETERS,
    ),
    (
        r"starting up|shutting down|not yet accepting|recovery",
        Rung.STARTING_UP,
        True,
        "wait for the server to be ready",
    ),
    (r"too many clients|connection slots", Rung.LOGIN, True, "close idle sessions or raise max_connections"),
    (r"could not translate host|Name or service|name resolution", Rung.DNS, True, "check the host in the address"),
    (r"pg_hba.* no encryption", Rung.LOGIN, False, "append sslmode=verify-full to the address, or check pg_hba.conf"),
    (r"pg_hba|password|authentication|role .* does not exist|not permitted to log in", Rung.LOGIN, False, ""),
    (r"client certificate", Rung.TLS, False, "name the client's certificate in the address: sslcert and sslkey"),
    (r"database .* does not exist|permission denied for database|CONNECT privilege", Rung.DATABASE, False, ""),
)
_CORRECT = "correct the role, the password or the database's name in the address"
_CHECK_SERVER = "check that PostgreSQL runs and that the database's address names it"


def describe_connect(error: BaseException) -> DatabaseUnreachable:
    """The fault of a connection that libpq could not make, named by the last cause in its text.

    A server whose words are not understood, or whose certificate was refused without a reason, is asked, which can
    take two seconds: not for an event loop.
    """
    if getattr(error, "sqlstate", None):
        return describe(error)
    if (fault := tls.of_libpq(error)) is not None:
        return fault
    # One line for each address that was tried, with a hint indented below it or a DETAIL line after it.
    lines = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]
    causes = [line for line in lines if "FATAL:" in line] or lines or [type(error).__name__]
    reason = causes[-1]
    _, fatal, refusal = reason.rpartition("FATAL:")
    words = (refusal if fatal else reason).strip()
    for pattern, rung, transient, solution in _BY_WORDS:
        if re.search(pattern, words):
            return DatabaseUnreachable(words, transient=transient, rung=rung, solution=solution or _CORRECT)
    if not fatal:
        return DatabaseUnreachable(words, transient=True, rung=Rung.TCP, solution=_CHECK_SERVER)
    if (code := _code_of(error)) is not None:
        return _of_code(code)
    return DatabaseUnreachable(words, transient=False, rung=Rung.LOGIN, solution=_CORRECT)


def fault_of_connecting(error: Exception) -> DatabaseUnreachable | None:
    """The fault where an engine that is not the gate's own could not connect, through whichever driver; otherwise None.

    A statement that was refused, and whatever else an env.py raises, is not for this to explain.
    """
    original = getattr(error, "orig", None)  # SQLAlchemy's, which names the statement where there was one
    if original is not None:
        return None if getattr(error, "statement", None) else describe_connect(original)
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError):
        return describe(error)
    if type(error) is OSError and error.errno is None:  # asyncio's, where a name has several addresses
        return describe(ConnectionRefusedError())
    # asyncpg's refusal of a login, which SQLAlchemy does not wrap.
    return describe(error) if getattr(error, "sqlstate", None) in _BY_SQLSTATE else None


def _code_of(error: BaseException) -> str | None:
    attempt = getattr(error, "pgconn", None)
    if attempt is None or not attempt.host:
        return None
    host, port, user, database = (part.decode() for part in (attempt.host, attempt.port, attempt.user, attempt.db))
    return refusal_code(host.split(",")[-1], int(port.split(",")[-1] or 5432), user, database)


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
