"""A real PgBouncer, in either mode, for the migrator's role and the application's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
pool_mode = {mode}
default_pool_size = {size}
logfile = {folder}/log
"""


@dataclass(frozen=True)
class Pooled:
    """A database's addresses through a pooler."""

    migrator_url: str
    app_url: str


@contextmanager
def pooler(database: Database, mode: str, *, size: int = 1) -> Iterator[Pooled]:
    """PgBouncer with at most `size` sessions of the server for each role; `mode` is its `pool_mode`."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        lacking("PgBouncer", "install the package pgbouncer")
    roles = [urlsplit(url) for url in (database.migrator_url, database.app_url)]
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    # It refuses to run as root.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    try:
        (folder / "users").write_text("".join(f'"{role.username}" "{role.password}"\n' for role in roles))
        (folder / "ini").write_text(
            _CONFIGURATION.format(
                host=roles[0].hostname, port=roles[0].port, listen_port=port, folder=folder, mode=mode, size=size
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
            pooled = Pooled(*(url.replace(f":{roles[0].port}/", f":{port}/") for url in (_urls(database))))
            _wait_for(pooled.app_url, process, folder / "log")
            yield pooled
        finally:
            process.kill()
            process.wait(timeout=20)
    finally:
        shutil.rmtree(folder)


def _urls(database: Database) -> tuple[str, str]:
    return database.migrator_url, database.app_url


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, prepare_threshold=None).close()
        except psycopg.OperationalError:
            told = log.read_text() if log.exists() else ""
            assert process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        else:
            return
