"""From PostgreSQL 15, Debian's, to PostgreSQL 18, the wheel's, by a backup and a restore."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.postgres import Cluster, Database, create_database, drop_database, inspect_folder, temporary_cluster
from taskmanager.backup import client_tools
from taskmanager.backup.client_tools import find_tools
from taskmanager.backup.folder import BackupFolder
from taskmanager.backup.manifest import Outcome
from taskmanager.backup.taking import Request, take
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
def test_with_the_newer_programs_alone_15_is_backed_up_and_told_as_not_verified(
    old: databases.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_restore 18 makes a setting that 15 does not know, so there the backup is told as not verified."""
    eighteen = find_tools(18)
    monkeypatch.setattr(client_tools, "_candidates", lambda: iter([(eighteen.folder, "the wheel")]))
    request = Request(old.migrator_url, old.app_url, BackupFolder(tmp_path / "backups"), old.admin_url)

    there = take(request).backup.manifest

    assert (there.tool_major, there.verification.outcome) == (18, Outcome.NOT_TRIED)
    assert "older than 17" in there.verification.problems[0]
