"""Database addresses in the forms people write them, and without their secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEMES = re.compile(r"^(?:postgres|postgresql)(?:\+(?:psycopg|psycopg2|asyncpg|psycopg2cffi|pg8000))?://", re.I)


class UnusableUrl(ValueError):
    """The text is not the address of a PostgreSQL database. Its message holds no part of a password."""


def plain_url(url: str) -> str:
    """The address as libpq and asyncpg take it: `postgresql://…`, whatever driver the text names.

    `postgres://`, `postgresql://` and `postgresql+DRIVER://` (the form of SQLAlchemy) are understood.

    Raises
    ------
    UnusableUrl: the text is none of these.
    """
    stripped = url.strip()
    if not _SCHEMES.match(stripped):
        scheme = stripped.split(":", 1)[0] if "://" in stripped else "no scheme at all"
        raise UnusableUrl(
            f"The database address must begin with postgresql:// and it begins with {scheme!r};"
            " the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    plain = _SCHEMES.sub("postgresql://", stripped)
    try:
        urlsplit(plain).port  # noqa: B018  the property raises where the port is no number
    except ValueError as error:
        raise UnusableUrl(
            "The database address has a port that is no number; characters such as / : @ # in a password"
            " must be percent-encoded"
        ) from error
    return plain


def sqlalchemy_url(url: str) -> str:
    """The address as SQLAlchemy takes it, through psycopg 3: the driver that migrates."""
    return "postgresql+psycopg://" + plain_url(url).removeprefix("postgresql://")


def masked_url(url: str) -> str:
    """The address with its password and its options hidden, for logs and tables."""
    try:
        parts = urlsplit(plain_url(url))
    except UnusableUrl:
        return "an address that is not PostgreSQL's"
    user = f"{parts.username}{':***' if parts.password else ''}@" if parts.username else ""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"postgresql://{user}{host}{port}{parts.path}"
