"""What is unsafe about a database's address: a password that everybody knows, a way that anybody can read."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

# What examples, images and tutorials set, and what is tried first.
_KNOWN_PASSWORDS = frozenset(
    """
    123456 12345678 admin change-me change_me changeit changeme changethis default example letmein
    mysecretpassword pass passw0rd password postgres postgresql pw qwerty root secret taskmanager test user
    """.split()  # noqa: SIM905  a list of words is read more easily without quotes
)

# What libpq and asyncpg do of themselves is `prefer`: plain text with any server, or any man in the middle, that
# says it has no TLS. `allow` begins with plain text.
_TLS_IS_DEMANDED = frozenset({"require", "verify-ca", "verify-full"})


@dataclass(frozen=True)
class _Address:
    user: str
    password: str
    database: str
    hosts: tuple[str, ...]
    parameters: Mapping[str, str]


def violations(variable: str, url: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A line for everything about this address that is unsafe in production, without any part of a password.

    Parameters
    ----------
    variable: the setting that names the address, for the lines.
    url: `postgresql://…`, as `plain_url` gives it.
    environment: where the drivers look for what the address does not say (PGSSLMODE, PGPASSWORD …); otherwise
        the variables of the process.
    """
    variables = os.environ if environment is None else environment
    address = _read(url, variables)
    # What a service's file says wins over the variables, and may name any host.
    service = address.parameters.get("service") or variables.get("PGSERVICE")
    remote = (service and not address.hosts) or any(not _local(host) for host in address.hosts)
    fault = _password_fault(address, variables)
    if fault is not None:
        yield f"{variable}: {fault}; give the role another one (ALTER ROLE ... PASSWORD) and put it into the address"
    mode = address.parameters.get("sslmode") or (not service and variables.get("PGSSLMODE")) or ""
    if remote and mode not in _TLS_IS_DEMANDED:
        state = (
            f"sslmode={mode} does not demand TLS" if mode in {"disable", "allow", "prefer"} else "does not demand TLS"
        )
        yield f"{variable}: {state}, and the database is not on this machine; append sslmode=verify-full (or require)"


def _read(url: str, variables: Mapping[str, str]) -> _Address:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    parameters = dict(parse_qsl(parts.query))
    # libpq lets a parameter win over what stands before it, asyncpg does not: both are where it may go.
    # PGHOSTADDR wins even over a name that stands in the address.
    numbers = parameters.get("hostaddr") or variables.get("PGHOSTADDR") or ""
    named = _hosts(hosts, parameters.get("host", ""), numbers)
    if not named and not (parameters.get("service") or variables.get("PGSERVICE")):
        named = _hosts(variables.get("PGHOST", ""))
    user = unquote(user) or parameters.get("user") or variables.get("PGUSER") or ""
    return _Address(
        user=user,
        password=unquote(password) or parameters.get("password") or variables.get("PGPASSWORD") or "",
        database=unquote(parts.path.removeprefix("/")) or parameters.get("dbname") or user,
        hosts=named,
        parameters=parameters,
    )


def _password_fault(address: _Address, variables: Mapping[str, str]) -> str | None:
    """What is wrong with the password. One may be kept elsewhere, or be needless with a certificate or a socket."""
    if not address.password:
        elsewhere = ("passfile", "service", "sslcert")
        variables_elsewhere = ("PGPASSFILE", "PGSERVICE", "PGSSLCERT")
        kept = any(address.parameters.get(name) for name in elsewhere) or any(
            variables.get(name) for name in variables_elsewhere
        )
        on_socket = not address.hosts or all(_socket(host) for host in address.hosts)
        return None if kept or on_socket or _password_file(variables) else "the role has no password"
    password = address.password.casefold()
    if password in _KNOWN_PASSWORDS:
        return "the password is one that everybody knows"
    if password in {address.user.casefold(), address.database.casefold()}:
        return "the password is the name of the role or of the database"
    return None


def _password_file(variables: Mapping[str, str]) -> bool:
    home = variables.get("HOME")
    return bool(home) and Path(home or "", ".pgpass").is_file()


def _hosts(*lists: str) -> tuple[str, ...]:
    return tuple(host for text in lists for host in map(_without_port, text.split(",")) if host)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    # An address of version 6 in a parameter has no brackets, and no port either.
    return unquote(host) if host.count(":") > 1 else unquote(host.partition(":")[0])


def _socket(host: str) -> bool:
    return host.startswith(("/", "@"))


def _local(host: str) -> bool:
    if not host or _socket(host) or host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
