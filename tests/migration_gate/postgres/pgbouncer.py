"""A real PgBouncer before the run's PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.databases import Database
from tests.processes import free_port, lacking

_CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool_size}
logfile = {folder}/log
"""


def _program() -> str:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or lacking(
        "PgBouncer", "install the package pgbouncer"
    )


@contextmanager
def pgbouncer(database: Database, *, pool_size: int = 1) -> Iterator[str]:
    """The application's address of a database through a pooler in transaction mode with so many server connections."""
    program = _program()
    server = urlsplit(database.app_url)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    # It refuses to run as root.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    try:
        (folder / "users").write_text(f'"{server.username}" "{server.password}"\n')
        (folder / "ini").write_text(
            _CONFIGURATION.format(
                host=server.hostname, port=server.port, listen_port=port, folder=folder, pool_size=pool_size
            )
        )
        if account is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        process = subprocess.Popen(
            [program, str(folder / "ini")],
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql://{server.username}:{server.password}@127.0.0.1:{port}{server.path}"
            _wait_for(url, process, folder / "log")
            yield url
        finally:
            process.kill()
            process.wait(timeout=20)
    finally:
        shutil.rmtree(folder)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while not _answers(url):
        told = log.read_text() if log.exists() else ""
        assert process.poll() is None, told
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True
