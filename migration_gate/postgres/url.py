"""Database addresses in the forms people write them, for each driver, and without their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from migration_gate.postgres.url_parameters import DEFAULT_PORT, for_asyncpg, for_libpq, written

_SCHEME = re.compile(
    r"^(?:postgres|postgresql)(?P<driver>\+(?:psycopg|psycopg2|asyncpg|psycopg2cffi|pg8000))?://", re.I
)

# A host or an address in brackets, or nothing; then a port, or nothing. libpq takes several, with commas between.
_HOST = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d{0,5}))?")

# Parameters that tell where a database is, and nothing that must not be seen.
_WHERE = ("host", "hostaddr", "port", "service")


class UnusableUrl(ValueError):
    """The text is not the address of a PostgreSQL database. Its message holds no part of a password."""


@dataclass(frozen=True)
class _Address:
    """An address by its parts; all but the parameters are percent-encoded as they stand in it."""

    credentials: str
    hosts: str
    database: str
    parameters: Mapping[str, str]

    def text(self, scheme: str = "postgresql") -> str:
        at = f"{self.credentials}@" if self.credentials else ""
        database = f"/{self.database}" if self.database or self.parameters else ""
        return f"{scheme}://{at}{self.hosts}{database}{written(self.parameters)}"


def plain_url(url: str) -> str:
    """The address as libpq takes it: `postgresql://…`, whatever driver the text names and has parameters for.

    `postgres://`, `postgresql://` and `postgresql+DRIVER://` (the form of SQLAlchemy) are understood.

    Raises
    ------
    UnusableUrl: the text is none of these.
    """
    return _read(url).text()


def asyncpg_url(url: str) -> str:
    """The address as asyncpg takes it: without the parameters that only libpq knows.

    Raises
    ------
    UnusableUrl: as above.
    """
    address = _read(url)
    parameters = dict(address.parameters)
    if address.hosts:
        # It only spares libpq to look the name up, which asyncpg does.
        parameters.pop("hostaddr", None)
    return replace(address, parameters=for_asyncpg(parameters)).text()


def sqlalchemy_url(url: str) -> str:
    """The address as SQLAlchemy takes it, through psycopg 3: the driver that migrates.

    Raises
    ------
    UnusableUrl: as above.
    """
    address = _read(url)
    if "," in address.hosts or "%" in address.hosts:
        # SQLAlchemy reads one host there, as it is written.
        address = replace(address, hosts="", parameters={**_as_parameters(address.hosts), **address.parameters})
    return address.text("postgresql+psycopg")


def masked_url(url: str) -> str:
    """The address with its password and its options hidden, for logs and tables."""
    try:
        address = _read(url)
    except UnusableUrl:
        return "an address that is not PostgreSQL's"
    name, colon, _ = address.credentials.partition(":")
    where = {name: value for name, value in address.parameters.items() if name in _WHERE}
    return replace(address, credentials=f"{name}{':***' if colon else ''}", parameters=where).text()


def parameters_of(url: str) -> Mapping[str, str]:
    """What stands behind the address's question mark, in libpq's words.

    Raises
    ------
    UnusableUrl: as above.
    """
    return _read(url).parameters


def on_same_server(url: str, database: str) -> str:
    """As libpq takes it, the same server and role, and another database.

    Raises
    ------
    UnusableUrl: as above.
    """
    return replace(_read(url), database=quote(database, safe="")).text()


def _read(url: str) -> _Address:
    stripped = url.strip()
    scheme = _SCHEME.match(stripped)
    if scheme is None:
        begins = f"and it begins with {stripped.split(':', 1)[0]!r}" if "://" in stripped else "and it does not"
        raise UnusableUrl(
            f"The database address must begin with postgresql:// {begins};"
            " the form is postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    try:
        parts = urlsplit(f"postgresql://{stripped[scheme.end() :]}", allow_fragments=False)
    except ValueError:  # an unfinished bracket
        raise _unreadable() from None
    credentials, _, hosts = parts.netloc.rpartition("@")
    if not all(_readable(host) for host in hosts.split(",")):
        raise _unreadable()
    parameters = for_libpq(parts.query, plus_is_blank=scheme["driver"] is not None)
    database = parts.path.removeprefix("/")
    # One place for each, since drivers differ in which of two they heed.
    if (named := parameters.pop("dbname", None)) is not None:
        database = quote(named, safe="")
    if parameters.get("host") and hosts:
        if port := _port(hosts):
            parameters.setdefault("port", port)
        hosts = ""
    if parameters.get("port"):
        parameters["port"] = _ports(parameters["port"], (parameters.get("host") or hosts).count(",") + 1)
    return _Address(credentials, hosts, database, parameters)


def _unreadable() -> UnusableUrl:
    return UnusableUrl(
        "The database address has a host or port that cannot be read; characters such as / : @ # in a"
        " password must be percent-encoded"
    )


def _readable(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and int(match["port"] or 0) <= 65535


def _ports(text: str, hosts: int) -> str:
    """One port for each host, since SQLAlchemy and asyncpg do not take one for all of them."""
    ports = text.split(",") * (hosts if "," not in text else 1)
    if not all(_readable(f":{port}") for port in ports):
        raise _unreadable()
    if len(ports) != hosts:
        raise UnusableUrl(
            f"The database address names {len(ports)} ports for {hosts} host{'s' if hosts > 1 else ''};"
            " give one for each, or one for all"
        )
    return ",".join(port or DEFAULT_PORT for port in ports)


def _as_parameters(hosts: str) -> dict[str, str]:
    each = [match for match in map(_HOST.fullmatch, hosts.split(",")) if match]
    found = {"host": ",".join(unquote(match["bracketed"] or match["name"] or "") for match in each)}
    if any(match["port"] for match in each):
        found["port"] = ",".join(match["port"] or DEFAULT_PORT for match in each)
    return found


def _port(hosts: str) -> str | None:
    """The port that stands at the first of the hosts."""
    match = _HOST.fullmatch(hosts.split(",")[0])
    return match["port"] if match else None
