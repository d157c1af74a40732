"""A PostgreSQL that speaks TLS, with the certificates that docker/certs.sh makes: good ones and bad ones."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from stack.errors import StackError
from stack.postgres import Binaries, Cluster, inspect_folder, temporary_cluster
from tests.processes import ROOT, lacking

SCRIPT = ROOT / "docker/certs.sh"
GOOD, EXPIRED, SELF_SIGNED, WRONG_HOST = "server", "bad/expired", "bad/self-signed", "bad/wrong-host"

_ASKS_FOR_TLS = struct.pack("!ii", 8, 80_877_103)


def make_certificates(folder: Path, *options: str) -> Path:
    """The folder, with an authority and certificates in it; `options` are those of docker/certs.sh."""
    subprocess.run([SCRIPT, *options, folder], check=True, capture_output=True, text=True)
    return folder


class TlsServer:
    """A running PostgreSQL and the certificate that it shows, which can be changed while it runs.

    Parameters
    ----------
    cluster: built with OpenSSL.
    certificates: a folder of docker/certs.sh, made with `--bad`.
    """

    def __init__(self, cluster: Cluster, certificates: Path) -> None:
        self.cluster = cluster
        self.certificates = certificates
        self.authority = certificates / "ca.crt"

    def show(self, kind: str = GOOD) -> None:
        """Hand over another certificate, and wait until who comes is shown it."""
        data = self.cluster.folder / "postgres"
        owner = data.stat()
        for name in ("server.crt", "server.key"):
            content = (self.certificates / kind / name).read_bytes()
            target = data / name
            target.unlink(missing_ok=True)
            target.touch(0o600)
            os.chown(target, owner.st_uid, owner.st_gid)
            target.write_bytes(content)
        expected = ssl.PEM_cert_to_DER_cert((self.certificates / kind / "server.crt").read_text())
        self._set("on", lambda: self.shown() == expected)

    def speak_plainly(self) -> None:
        """No TLS from now on."""
        self._set("off", lambda: self.shown() is None)

    def verified(self, url: str, **changed: str) -> str:
        """An address of this server, such that its certificate must be sound; `changed` are further parameters."""
        parameters = {"sslmode": "verify-full", "sslrootcert": str(self.authority)} | changed
        return f"{url}?{'&'.join(f'{name}={value}' for name, value in parameters.items())}"

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as the superuser."""
        with psycopg.connect(self.cluster.superuser_url(), autocommit=True) as admin:
            cursor = admin.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def shown(self) -> bytes | None:
        """The certificate that the server shows now, in DER; None where it speaks no TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.cluster.port), timeout=5) as plain:
            plain.sendall(_ASKS_FOR_TLS)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain) as encrypted:
                return encrypted.getpeercert(binary_form=True)

    def _set(self, on: str, seen: Callable[[], bool]) -> None:
        self.execute(f"ALTER SYSTEM SET ssl = {on}")
        self.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while not seen():
            assert time.monotonic() < deadline, self.cluster.log.read_text()
            time.sleep(0.02)


@contextmanager
def tls_server(certificates: Path) -> Iterator[TlsServer]:
    """A PostgreSQL of this machine's, built with OpenSSL; the wheel's is not."""
    with temporary_cluster(binaries=built_with_tls()) as cluster:
        yield TlsServer(cluster, certificates)


def built_with_tls() -> Binaries:
    found = next(_candidates(), None)
    if found is None:
        lacking("a PostgreSQL with TLS", "install Debian's package postgresql")
    return found


def _candidates() -> Iterator[Binaries]:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        with suppress(StackError, OSError):
            binaries = inspect_folder(folder, "this machine")
            told = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True, check=True)
            if "openssl" in told.stdout:
                yield binaries
