"""A server that is reached by TLS alone: the programs demand of it what the address demands."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.identity import unprivileged_identity
from stack.postgres import create_database, inspect_folder, temporary_cluster
from tests.databases import Database
from tests.processes import lacking, run_alembic
from tests.taskmanager.backup.commands import Commands, some_tasks

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """An authority, a server's certificate for 127.0.0.1, and an authority that nobody trusts."""
    if shutil.which("openssl") is None:
        lacking("openssl", "install openssl")
    folder = Path(tempfile.mkdtemp(prefix="taskmanager-tls-"))
    folder.chmod(0o711)
    for name in ("authority", "stranger"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-addext",
        "subjectAltName=IP:127.0.0.1", "-keyout", "server.key", "-out", "server.csr",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "authority.crt", "-CAkey", "authority.key",
        "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", "server.crt",
    )  # fmt: skip
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def database(certificates: Path) -> Iterator[Database]:
    """On PostgreSQL 15 with TLS, as Debian builds it."""
    if not (DEBIAN_15 / "postgres").exists():
        lacking("PostgreSQL 15", "install postgresql-15")
    key = certificates / "server.key"
    if (identity := unprivileged_identity(certificates / "none")) is not None:
        os.chown(key, identity.uid, identity.gid)
    key.chmod(0o600)
    settings = {"ssl": "on", "ssl_cert_file": f"{certificates / 'server.crt'}", "ssl_key_file": f"{key}"}
    with temporary_cluster(binaries=inspect_folder(DEBIAN_15, "Debian"), settings=settings) as cluster:
        made = create_database(cluster, "taskmanager")
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": made.migrator_url})
        plain = Database(made.name, cluster.superuser_url(made.name), made.app_url, made.migrator_url)
        some_tasks(plain)
        verified = f"?sslmode=verify-full&sslrootcert={certificates / 'authority.crt'}"
        yield Database(plain.name, plain.admin_url + verified, plain.app_url + verified, plain.migrator_url + verified)


def test_a_backup_and_its_trial_go_over_tls_that_is_verified(database: Database, tmp_path: Path) -> None:
    made = Commands(database, tmp_path / "backups").backup()

    assert made["tool_major"] == 15
    assert made["verification"]["as_application"]


def test_a_server_of_another_authority_is_refused(database: Database, certificates: Path, tmp_path: Path) -> None:
    commands = Commands(database, tmp_path / "backups")
    stranger = database.migrator_url.replace("authority.crt", "stranger.crt")

    done = commands.run("backup", MIGRATION_DATABASE_URL=stranger)

    assert done.returncode == 69
    assert "certificate" in done.stderr.lower()
    assert commands.names == []


def test_pg_dump_itself_demands_it(database: Database, tmp_path: Path) -> None:
    """The session could be verified, and the dump go in plain text: so what the program is told is looked at."""
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (wrapper / name).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] || env | grep ^PGSSL >>{tmp_path}/said\nexec {DEBIAN_15}/{name} "$@"\n'
        )
        (wrapper / name).chmod(0o755)

    Commands(database, tmp_path / "backups").backup(TASKMANAGER_POSTGRES_BIN=str(wrapper))

    said = (tmp_path / "said").read_text().splitlines()
    # Both programs, and the question whether pg_dump speaks TLS.
    assert said.count("PGSSLMODE=verify-full") == 2
    assert sum(line.startswith("PGSSLROOTCERT=") for line in said) == 2
