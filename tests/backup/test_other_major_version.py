"""From PostgreSQL 15, Debian's, to PostgreSQL 18, the wheel's, by a backup and a restore."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.postgres import Cluster, Database, create_database, drop_database, inspect_folder, temporary_cluster
from taskmanager.backup.client_tools import find_tools
from tests import databases
from tests.processes import lacking, run_alembic
from tests.taskmanager.backup.commands import Commands, some_tasks

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def _database(cluster: Cluster, made: Database) -> databases.Database:
    return databases.Database(made.name, cluster.superuser_url(made.name), made.app_url, made.migrator_url)


@pytest.fixture(scope="module")
def fifteen() -> Iterator[Cluster]:
    if not (DEBIAN_15 / "postgres").exists():
        lacking("PostgreSQL 15", "install postgresql-15")
    with temporary_cluster(binaries=inspect_folder(DEBIAN_15, "Debian")) as cluster:
        yield cluster


@pytest.fixture
def old(fifteen: Cluster) -> Iterator[databases.Database]:
    made = create_database(fifteen, "taskmanager")
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": made.migrator_url})
    database = _database(fifteen, made)
    some_tasks(database, 200)
    yield database
    drop_database(fifteen, "taskmanager")


@pytest.fixture
def new() -> Iterator[databases.Database]:
    with temporary_cluster() as cluster:
        assert cluster.binaries.major == 18
        yield _database(cluster, create_database(cluster, "taskmanager"))


@pytest.mark.timeout(480)
def test_the_data_moves_from_15_to_18_and_not_back(
    old: databases.Database, new: databases.Database, tmp_path: Path
) -> None:
    of_old = Commands(old, tmp_path / "old")
    made = of_old.backup()
    assert (made["server_major"], made["tool_major"]) == (15, 15)

    done = of_old.run("restore", "latest", "--into", new.migrator_url, "--application-url", new.app_url, "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert report["remarks"] == []
    assert (report["schema"]["state"], report["as_application"]) == ("current", True)
    # The checksums are those of 15: text that both write alike, in an order that both agree on.
    of_new = Commands(new, tmp_path / "new")
    moved = of_new.backup()
    assert moved["server_major"] == 18
    assert moved["tables"] == made["tables"]
    assert moved["privileges"] == made["privileges"]
    assert moved["roles"]["checksum"] == made["roles"]["checksum"]

    with psycopg.connect(old.admin_url.rpartition("/")[0] + "/postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE empty OWNER taskmanager_migrator")
    back = of_new.run("restore", "latest", "--into", old.migrator_url.rpartition("/")[0] + "/empty")
    assert back.returncode == 1
    assert "to newer versions and not to older ones" in back.stderr


@pytest.mark.timeout(480)
def test_a_newer_client_can_back_up_the_older_server_too(old: databases.Database, tmp_path: Path) -> None:
    """Where only the new version's programs are installed, as in the image."""
    commands = Commands(old, tmp_path / "backups")
    eighteen = find_tools(18)
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    for name in ("pg_dump", "pg_restore"):
        # It says 15, so that it is the closest, and is 18.
        (wrapper / name).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} (PostgreSQL) 15" && exit\n'
            f'exec {eighteen.folder}/{name} "$@"\n'
        )
        (wrapper / name).chmod(0o755)

    made = commands.backup(TASKMANAGER_POSTGRES_BIN=str(wrapper))

    assert made["verification"]["problems"] == []
