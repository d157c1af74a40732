"""Why no encrypted connection to PostgreSQL could be made, in words that are the same whichever driver met it.

Both drivers refuse the same things and tell them differently: asyncpg has OpenSSL's code, libpq the words `certificate
verify failed` for an expired certificate as for a stranger's. So whoever knows no more than that asks the server for
its certificate again, and looks at it as the driver did.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migration_gate.errors import DatabaseUnreachable, Rung
from migration_gate.postgres.startup import connected

# Of the protocol's messages (PostgreSQL's manual, 55.7), the one that asks for TLS, and its answer for yes.
_SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
_WILLING = b"S"

_ANOTHER_CERTIFICATE = "give the server another certificate, which it takes up at SELECT pg_reload_conf()"
_NAME_THE_AUTHORITY = (
    "name the file of the authority that signs the server's certificate: sslrootcert in the address,"
    " readable to the account that connects"
)
_CHECK = "check sslmode and the certificates in the address, and whether the server offers TLS"

# What OpenSSL calls them: X509_V_ERR_… of its x509_vfy.h, whose numbers do not change.
_NOT_YET_VALID, _EXPIRED, _REVOKED = 9, 10, 23
_SIGNED_BY_ITSELF = 18
_SIGNED_BY_A_STRANGER = (19, 20, 21)
_FOR_ANOTHER_HOST = (62, 64)


def of_python(error: BaseException) -> DatabaseUnreachable | None:
    """The fault that Python's `ssl`, or asyncpg which uses it, met; None where it is none of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_verification(error)
    if isinstance(error, ssl.SSLError):
        return _refused(f"no encrypted connection could be made ({error.reason or 'no reason is told'})", _CHECK)
    # asyncpg's, which has no class of its own.
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return _no_tls()
    return None


def of_libpq(error: BaseException) -> DatabaseUnreachable | None:
    """The fault that libpq met before the server was told who comes; None where its words name none of TLS.

    It may ask the server, which can take two seconds.
    """
    words = _last_attempt(str(error))
    if "FATAL:" in words:
        return None
    if file := re.search(r'root certificate file "(.+?)"', words):
        return _of_authority(file[1]) or _refused(file[0], _NAME_THE_AUTHORITY)
    if "server does not support SSL" in words:
        return _no_tls()
    if host := re.search(r'does not match host name "(.+?)"', words):
        return _another_host(host[1])
    if "certificate verify failed" in words:
        attempt = _Attempt.of(error)
        refusal = attempt.refusal() if attempt is not None else None
        return _of_verification(refusal) if refusal is not None else _unknown_certificate()
    if reason := re.search(r"SSL error: (.+)|.*\bSSL\b.*|.*certificate.*", words):
        return _refused(f"no encrypted connection could be made ({reason[1] or reason[0]})", _CHECK)
    return None


def of_files(parameters: Mapping[str, str]) -> DatabaseUnreachable | None:
    """The fault of a file that an address names and asyncpg cannot use; None where it can use all.

    Parameters
    ----------
    parameters: what stands behind the address's question mark, in libpq's words.
    """
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE") or ""
    authority = parameters.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    if authority is None and mode.startswith("verify"):
        authority = str(Path("~/.postgresql/root.crt").expanduser())
    if authority and mode in {"require", "verify-ca", "verify-full"} and (fault := _of_authority(authority)):
        return fault
    for name in ("sslcert", "sslkey", "sslcrl"):
        path = parameters.get(name)
        if path and (why := _unreadable(path)):
            return _refused(
                f"the file {path}, which {name} names, cannot be read: {why}", f"correct {name} in the address"
            )
    return None


def _of_authority(path: str) -> DatabaseUnreachable | None:
    if path == "system" and not Path(path).exists():
        return _refused(
            "sslrootcert=system is libpq's word for the machine's authorities, and this driver does not know it",
            "name their file: sslrootcert=/etc/ssl/certs/ca-certificates.crt on Debian",
        )
    if why := _unreadable(path):
        return _refused(f"the authority's certificate {path} cannot be read: {why}", _NAME_THE_AUTHORITY)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return _refused(f"{path} holds no authority's certificate in the form PEM", _NAME_THE_AUTHORITY)
    return None


def _unreadable(path: str) -> str | None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        return error.strerror
    return None


def _of_verification(error: ssl.SSLCertVerificationError) -> DatabaseUnreachable:
    code, words = error.verify_code, error.verify_message
    if code == _EXPIRED:
        return _refused("the server's certificate has expired, or its authority's has", _ANOTHER_CERTIFICATE)
    if code == _NOT_YET_VALID:
        return _refused(
            "the server's certificate is not valid yet", "set the clocks of both machines, or make it anew from now on"
        )
    if code == _REVOKED:
        return _refused("the server's certificate was revoked", _ANOTHER_CERTIFICATE)
    if code == _SIGNED_BY_ITSELF:
        return _refused(
            "the server's certificate is signed by itself, and not by the authority in sslrootcert",
            f"{_NAME_THE_AUTHORITY}; or {_ANOTHER_CERTIFICATE}",
        )
    if code in _SIGNED_BY_A_STRANGER:
        return _refused(
            "the server's certificate is not signed by the authority in sslrootcert",
            f"{_NAME_THE_AUTHORITY}; or {_ANOTHER_CERTIFICATE}",
        )
    if code in _FOR_ANOTHER_HOST:
        host = re.search(r"'(.+)'", words)
        return _another_host(host[1] if host else None)
    return _refused(f"the server's certificate was refused ({words})", _ANOTHER_CERTIFICATE)


def _another_host(host: str | None) -> DatabaseUnreachable:
    return _refused(
        f"the server's certificate is for another host{f' than {host}' if host else ''}",
        "name the server in the address as its certificate does; or give it a certificate for the name in the address",
    )


def _unknown_certificate() -> DatabaseUnreachable:
    return _refused(
        "the server's certificate has expired, or is not signed by the authority in sslrootcert",
        f"{_NAME_THE_AUTHORITY}; or {_ANOTHER_CERTIFICATE}",
    )


def _no_tls() -> DatabaseUnreachable:
    return _refused(
        "the server offers no TLS, and the address demands it",
        "switch it on at the server (ssl = on, with a certificate and its key), rather than to weaken sslmode",
    )


def _refused(sentence: str, solution: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(sentence, transient=False, rung=Rung.TLS, solution=solution)


def _last_attempt(text: str) -> str:
    """Of what libpq and psycopg say of each address that they tried, what they say of the last."""
    return text[max(text.rfind("connection to server"), text.rfind("- host:"), 0) :]


@dataclass(frozen=True)
class _Attempt:
    """An attempt of libpq's at TLS, from what psycopg keeps of it."""

    host: str
    address: str
    port: int
    authority: str | None
    checks_host: bool
    asks_first: bool

    @classmethod
    def of(cls, error: BaseException) -> _Attempt | None:
        connection = getattr(error, "pgconn", None)
        if connection is None:
            return None
        options = {option.keyword.decode(): (option.val or b"").decode() for option in connection.info}

        def last(name: str) -> str:
            return options.get(name, "").split(",")[-1]

        if not last("host") and not last("hostaddr"):
            return None
        authority = options.get("sslrootcert") or str(Path("~/.postgresql/root.crt").expanduser())
        return cls(
            host=last("host") or last("hostaddr"),
            address=last("hostaddr") or last("host"),
            port=int(last("port") or 5432),
            authority=None if authority == "system" else authority,
            checks_host=options.get("sslmode") == "verify-full",
            asks_first=options.get("sslnegotiation") != "direct",
        )

    def refusal(self, timeout_s: float = 1.0) -> ssl.SSLCertVerificationError | None:
        """What is wrong with the certificate that the server shows now; None where nothing is, or it shows none."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
            context.check_hostname = self.checks_host
            context.set_alpn_protocols(["postgresql"])
            with connected(self.address, self.port, timeout_s) as connection:
                connection.settimeout(timeout_s)
                if self.asks_first and not _is_willing(connection):
                    return None
                with context.wrap_socket(connection, server_hostname=self.host):
                    return None
        except ssl.SSLCertVerificationError as error:
            return error
        except (OSError, ValueError):
            return None


def _is_willing(connection: socket.socket) -> bool:
    connection.sendall(_SSL_REQUEST)
    return connection.recv(1) == _WILLING
