"""Database addresses in the forms people write them, and without their secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEMES = re.compile(r"^(?:postgres|postgresql)(?:\+(?:psycopg|psycopg2|asyncpg|psycopg2cffi|pg8000))?://", re.I)


# A host or an address in brackets, or nothing; then a port, or nothing. libpq takes several, with commas between.
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>\d{0,5}))?")


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
        begins = f"and it begins with {stripped.split(':', 1)[0]!r}" if "://" in stripped else "and it does not"
        raise UnusableUrl(
            f"The database address must begin with postgresql:// {begins};"
            " the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    plain = _SCHEMES.sub("postgresql://", stripped)
    try:
        hosts = urlsplit(plain).netloc.rpartition("@")[2]
    except ValueError:  # an unfinished bracket
        hosts = "["
    if not all(_readable(host) for host in hosts.split(",")):
        raise UnusableUrl(
            "The database address has a host or port that cannot be read; characters such as / : @ # in a"
            " password must be percent-encoded"
        )
    return plain


def _readable(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and int(match["port"] or 0) <= 65535


# Parameters of libpq's client side, which asyncpg would send to the server as settings that it does not know.
_LIBPQ_ALONE = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "requirepeer",
        "require_auth",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)


def asyncpg_url(url: str) -> str:
    """The address as asyncpg takes it: without the parameters that only libpq knows."""
    parts = urlsplit(plain_url(url))
    kept = [part for part in parts.query.split("&") if part and part.split("=")[0] not in _LIBPQ_ALONE]
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{'&'.join(kept)}" if kept else "")


def sqlalchemy_url(url: str) -> str:
    """The address as SQLAlchemy takes it, through psycopg 3: the driver that migrates."""
    return "postgresql+psycopg://" + plain_url(url).removeprefix("postgresql://")


def masked_url(url: str) -> str:
    """The address with its password and its options hidden, for logs and tables."""
    try:
        parts = urlsplit(plain_url(url))
    except UnusableUrl:
        return "an address that is not PostgreSQL's"
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"postgresql://{name}{':***' if colon else ''}{at}{hosts}{parts.path}"
