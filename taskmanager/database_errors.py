"""What kind of fault a statement met, told by SQLSTATE: the label of a metric and of an alert.

The kinds follow PostgreSQL's classes of errors (its manual, appendix A), as far as somebody would do something else
about them.
"""

from __future__ import annotations

from enum import StrEnum

import asyncpg


class ErrorKind(StrEnum):
    """The kinds. A client's own data meet `integrity` and `data`, which are answers and no faults of the database."""

    CONNECTION = "connection"
    POOL_TIMEOUT = "pool_timeout"
    STATEMENT_TIMEOUT = "statement_timeout"
    LOCK_TIMEOUT = "lock_timeout"
    DEADLOCK = "deadlock"
    SERIALIZATION = "serialization"
    SCHEMA = "schema"
    PRIVILEGE = "privilege"
    INTEGRITY = "integrity"
    DATA = "data"
    READ_ONLY = "read_only"
    RESOURCE = "resource"
    OTHER = "other"


class PoolTimeout(TimeoutError):
    """No connection was given back in time."""


# Codes before classes: the longest that fits is meant.
_BY_CODE = {
    "57014": ErrorKind.STATEMENT_TIMEOUT,
    "55P03": ErrorKind.LOCK_TIMEOUT,
    "40P01": ErrorKind.DEADLOCK,
    "42501": ErrorKind.PRIVILEGE,
    "25006": ErrorKind.READ_ONLY,
    "0A000": ErrorKind.SCHEMA,  # `cached plan must not change result type`, of a statement that was sound before
}
_BY_CLASS = {
    "08": ErrorKind.CONNECTION,
    "28": ErrorKind.CONNECTION,  # the password, or pg_hba.conf
    "3D": ErrorKind.CONNECTION,  # the database is not there
    "57": ErrorKind.CONNECTION,  # it was shut down, or the session was ended
    "22": ErrorKind.DATA,
    "23": ErrorKind.INTEGRITY,
    "40": ErrorKind.SERIALIZATION,
    "3F": ErrorKind.SCHEMA,
    "42": ErrorKind.SCHEMA,
    "53": ErrorKind.RESOURCE,
}


def is_the_clients(kind: ErrorKind) -> bool:
    """Whether clients cause it with their data: it is counted, and wakes nobody."""
    return kind in (ErrorKind.INTEGRITY, ErrorKind.DATA)


def kind_of(error: BaseException) -> ErrorKind:
    """The kind of what a statement or a connection met."""
    if isinstance(error, PoolTimeout):
        return ErrorKind.POOL_TIMEOUT
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or ""
        return _BY_CODE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], ErrorKind.OTHER)
    return ErrorKind.CONNECTION
