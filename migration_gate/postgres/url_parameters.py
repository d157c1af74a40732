"""What may stand behind an address's question mark: the words of other drivers, and what libpq calls the same.

SQLAlchemy hands an address's parameters to the driver that the address names. libpq, through which the gate connects,
refuses a name that it does not know, and asyncpg sends such a name to the server as a setting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

_IN_LIBPQS_WORDS = {
    "database": "dbname",
    "direct_tls": "sslnegotiation",
    "ssl": "sslmode",
    "timeout": "connect_timeout",
}

# What a client does with its own statements and connections, which is nothing to whoever migrates or looks.
_CLIENTS_OWN = frozenset(
    {
        "async_fallback",
        "command_timeout",
        "max_cacheable_statement_size",
        "max_cached_statement_lifetime",
        "max_inactive_connection_lifetime",
        "max_queries",
        "max_size",
        "min_size",
        "pgbouncer",
        "prepared_statement_cache_size",
        "prepared_statement_name_func",
        "statement_cache_size",
    }
)

# What asyncpg has no counterpart of: it would ask the server for settings of these names.
_LIBPQS_ALONE = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssdelegation",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_issuer",
        "oauth_scope",
        "require_auth",
        "requirepeer",
        "scram_client_key",
        "scram_server_key",
        "sslcertmode",
        "sslcompression",
        "sslcrldir",
        "sslkeylogfile",
        "sslsni",
        "tcp_user_timeout",
    }
)

_YES_OR_NO = {"true": True, "1": True, "false": False, "0": False}

# As SQLAlchemy lets a host and its port stand together: `host=one:5432&host=two:5432`.
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]*):(\d*)")

DEFAULT_PORT = "5432"


def for_libpq(query: str, *, plus_is_blank: bool) -> dict[str, str]:
    """The parameters of a query by libpq's names, in their order; of one that is repeated, the last counts.

    A name that nobody here knows is kept, so that the driver says what is wrong with it.

    Parameters
    ----------
    plus_is_blank: read `+` as SQLAlchemy does, and not as libpq, which takes it for itself.
    """
    hosts: list[str] = []
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = (unquote(text.replace("+", " ") if plus_is_blank else text) for text in part.partition("="))
        if name in _CLIENTS_OWN:
            continue
        if name == "host":
            hosts.append(value)
        known = _IN_LIBPQS_WORDS.get(name, name)
        found[known] = _value(name, value)
    if hosts:
        _name_hosts(found, hosts)
    return found


def for_asyncpg(parameters: Mapping[str, str]) -> dict[str, str]:
    """Those of libpq's parameters that asyncpg takes, or that the server does from asyncpg."""
    kept = {name: value for name, value in parameters.items() if name not in _LIBPQS_ALONE}
    if (fallback := kept.pop("fallback_application_name", None)) is not None:
        kept.setdefault("application_name", fallback)
    if (numbers := kept.pop("hostaddr", None)) is not None:
        kept.setdefault("host", numbers)
    if "host" in kept:
        kept["host"] = ",".join(map(_bracketed, kept["host"].split(",")))
    return kept


def written(parameters: Mapping[str, str]) -> str:
    """The parameters as they stand in an address, its question mark included, in a form that all drivers read alike."""
    text = "&".join(f"{quote(name)}={quote(value, safe='/:,[]')}" for name, value in parameters.items())
    return f"?{text}" if text else ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith(("[", "/")) else host


def _value(name: str, value: str) -> str:
    yes = _YES_OR_NO.get(value.lower())
    if name in {"ssl", "sslmode"}:
        if yes is not None:
            return "require" if yes else "disable"
        return value.replace("_", "-")
    if name == "direct_tls" and yes is not None:
        return "direct" if yes else "postgres"
    if name == "timeout" and re.fullmatch(r"\d+\.?\d*", value):
        # libpq counts in whole seconds, and takes none for no bound at all.
        return str(max(1, math.ceil(float(value))))
    return value


def _name_hosts(found: dict[str, str], written_hosts: list[str]) -> None:
    """Say hosts and ports in two lists, as libpq, SQLAlchemy and asyncpg all take them."""
    hosts, ports = [], []
    for host in ",".join(written_hosts).split(","):
        pair = _HOST_AND_PORT.fullmatch(host)
        hosts.append(pair[1] if pair else host)
        ports.append(pair[2] if pair else "")
    found["host"] = ",".join(hosts)
    if any(ports):
        found["port"] = ",".join(port or DEFAULT_PORT for port in ports)
