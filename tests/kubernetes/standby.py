"""A primary and a standby that follows it, both real, as the operator would run them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.postgres import Cluster, temporary_cluster
from stack.postgres.data_folder import SUPERUSER
from stack.postgres.roles import Database, ensure_database
from tests.processes import free_port


@dataclass(frozen=True)
class Followed:
    """The database on the primary, and its address on the standby."""

    primary: Database
    standby_url: str
    standby_migrator_url: str

    def caught_up(self, within_s: float = 30.0) -> None:
        """Wait until the standby has replayed all that the primary has written."""
        with psycopg.connect(self.primary.app_url) as connection:
            # Not that of what is on the disk: commits of this cluster do not wait for theirs.
            (written,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ("",)
        deadline = time.monotonic() + within_s
        with psycopg.connect(self.standby_url, autocommit=True) as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchone() != (True,):
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.02)


@contextmanager
def followed() -> Iterator[Followed]:
    with temporary_cluster() as primary:
        database = ensure_database(primary)
        port = free_port()
        with _standby(primary, port):
            here, there = f":{primary.port}/", f":{port}/"
            yield Followed(database, database.app_url.replace(here, there), database.migrator_url.replace(here, there))


@contextmanager
def _standby(primary: Cluster, port: int) -> Iterator[None]:
    place = primary._place
    assert place is not None
    folder = primary.folder / "standby"
    account = {} if place.run_as is None else {"user": place.run_as.uid, "group": place.run_as.gid, "extra_groups": []}
    folder.mkdir(mode=0o700)
    if place.run_as is not None:
        os.chown(folder, place.run_as.uid, place.run_as.gid)
    program = primary.binaries.folder
    variables = os.environ | {"PGPASSWORD": primary.passwords.superuser}
    where = ["--host=127.0.0.1", f"--port={primary.port}", f"--username={SUPERUSER}"]
    subprocess.run(
        [program / "pg_basebackup", *where, f"--pgdata={folder}", "--write-recovery-conf", "--checkpoint=fast"],
        env=variables, cwd=folder, check=True, timeout=120, **account,  # type: ignore[call-overload]
    )  # fmt: skip
    log = Path(folder, "standby.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [program / "postgres", "-D", folder, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories=", "-c", "max_connections=200"],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT, **account,  # type: ignore[call-overload]
        )  # fmt: skip
    try:
        _wait_for(primary.superuser_url().replace(f":{primary.port}/", f":{port}/"), process, log)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
