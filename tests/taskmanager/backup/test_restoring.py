"""A backup brought back: into what is empty, with its roles, its ledger and its rights, and proven."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import psycopg
import pytest

from migration_gate.lock import lock_key
from stack.postgres import Cluster, temporary_cluster
from taskmanager.backup.errors import BackupError
from taskmanager.backup.folder import Backup, BackupFolder
from taskmanager.backup.restoring import Restoration, restore
from taskmanager.backup.taking import Request, take
from tests import plain_http
from tests.databases import Database
from tests.processes import Service, run_alembic
from tests.taskmanager.backup.commands import Commands


def _into(database: Database) -> tuple[str, ...]:
    return ("--into", database.migrator_url, "--application-url", database.app_url)


def test_everything_comes_back_and_is_served(commands: Commands, empty_database: Database, serve: object) -> None:
    commands.backup()

    report = commands.json("restore", "latest", *_into(empty_database))

    assert report["problems"] == []
    assert report["as_application"]
    assert (report["schema"]["state"], report["schema"]["statements_proven"]) == ("current", True)
    assert {"check", "load", "proof", "statistics"} <= set(report["durations_s"])
    with_rows = "SELECT id, title, description, tags, created_at FROM tasks ORDER BY id"
    assert empty_database.execute(with_rows) == commands.database.execute(with_rows)
    service: Service = serve(empty_database)  # type: ignore[operator]
    service.wait_for("/readyz", 200)
    assert len(service.get("/tasks?limit=200").json()) == 50


def test_the_next_task_gets_a_number_that_no_task_had(commands: Commands, empty_database: Database) -> None:
    commands.backup()
    commands.json("restore", "latest", *_into(empty_database))

    assert empty_database.execute("INSERT INTO tasks (title) VALUES ('next') RETURNING id") == [(51,)]


def test_the_new_database_grants_nothing_that_the_old_one_did_not(commands: Commands, empty_database: Database) -> None:
    """It grants the application by default what is made in it, the ledger too."""
    commands.backup()

    report = commands.json("restore", "latest", *_into(empty_database))

    with psycopg.connect(empty_database.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM migration_gate_revision")
    assert [remark for remark in report["remarks"] if "new:" in remark] == []


def test_where_it_fails_the_new_database_grants_by_default_what_it_granted(
    commands: Commands, empty_database: Database
) -> None:
    made = commands.backup()
    defaults = "SELECT defaclacl::text FROM pg_default_acl ORDER BY 1"
    before = empty_database.execute(defaults)
    assert before
    # A table of another owner in the way of the dump, in a schema that is not looked at.
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM pg_database_owner")

    done = commands.run("restore", made["name"], *_into(empty_database))

    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert "the database is as empty as before" in done.stderr
    assert empty_database.execute(defaults) == before


def test_a_database_that_is_not_empty_is_left_as_it_is(commands: Commands) -> None:
    commands.backup()
    commands.database.execute("INSERT INTO tasks (title) VALUES ('since')")

    done = commands.run("restore", "latest")

    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert "--replace" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(51,)]


def test_replacing_backs_up_what_was_there(commands: Commands) -> None:
    first = commands.backup()["name"]
    commands.database.execute("INSERT INTO tasks (title) VALUES ('since')")
    commands.database.execute("CREATE VIEW a_view AS SELECT id FROM tasks")
    commands.database.execute(
        "CREATE TYPE colour AS ENUM ('red'); CREATE SCHEMA other; CREATE TABLE other.t (c colour)"
    )

    report = commands.json("restore", first, "--replace")

    assert report["problems"] == []
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]
    assert commands.database.execute("SELECT to_regclass('a_view'), to_regclass('other.t')") == [(None, None)]
    (before,) = set(commands.names) - {first}
    commands.json("restore", before, "--replace", "--without-backup")
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(51,)]
    assert len(commands.names) == 2


def _of_version(commands: Commands, name: str, major: int) -> None:
    file = commands.folder / name / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"server_major": major}))


def test_nothing_is_dropped_for_a_backup_that_the_server_cannot_read(commands: Commands) -> None:
    first = commands.backup()["name"]
    _of_version(commands, first, 99)

    done = commands.run("restore", first, "--replace", "--without-backup")

    assert done.returncode == 1
    assert "to newer versions and not to older ones" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_nothing_is_dropped_whose_backup_nobody_could_try(commands: Commands) -> None:
    first = commands.backup()["name"]

    without = Commands(commands.database, commands.folder, scratch=False)
    done = without.run("restore", first, "--replace")

    assert done.returncode == 1
    assert "is not verified" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_nothing_is_dropped_that_was_written_after_its_backup(commands: Commands) -> None:
    """The service goes on while its database is backed up: what it answered meanwhile would be in neither."""
    commands.backup()
    folder = BackupFolder(commands.folder)
    first = folder.find("latest")
    of = commands.database

    def then_written_to() -> Backup:
        kept = take(Request(of.migrator_url, of.app_url, folder, of.admin_url)).backup
        commands.database.execute("UPDATE tasks SET title = 'since' WHERE id = 7")
        return kept

    with pytest.raises(BackupError, match="was written to after its backup"):
        restore(first, Restoration(commands.database.migrator_url, None, then_written_to))

    assert commands.database.execute("SELECT title FROM tasks WHERE id = 7") == [("since",)]


def test_where_it_fails_after_the_database_was_emptied_the_way_back_is_named(commands: Commands) -> None:
    first = commands.backup()["name"]
    file = commands.folder / first / "manifest.json"
    manifest = json.loads(file.read_text())
    dump = commands.folder / first / "database.dump"
    dump.write_bytes(b"no archive")
    manifest["files"]["database.dump"] = {"bytes": 10, "sha256": hashlib.sha256(b"no archive").hexdigest()}
    file.write_text(json.dumps(manifest))

    done = commands.run("restore", first, "--replace")

    assert done.returncode == 1
    (kept,) = set(commands.names) - {first}
    assert f"what was there is in {kept}" in done.stderr
    commands.json("restore", kept)
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_a_table_that_somebody_uses_is_waited_for_and_then_left(commands: Commands) -> None:
    first = commands.backup()["name"]

    with psycopg.connect(commands.database.migrator_url, autocommit=True) as holding:
        holding.execute("BEGIN; LOCK TABLE tasks IN ACCESS SHARE MODE")
        done = commands.run("restore", first, "--replace", "--without-backup")
    assert done.returncode == 1
    assert "lock timeout" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_a_damaged_backup_is_refused_before_anything_is_touched(commands: Commands, empty_database: Database) -> None:
    made = commands.backup()
    dump = commands.folder / made["name"] / "database.dump"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)

    done = commands.run("restore", made["name"], "--replace", *_into(commands.database))

    assert done.returncode == 5
    assert "is damaged" in done.stderr
    assert commands.database.execute("SELECT count(*) FROM tasks") == [(50,)]


def test_a_backup_of_an_older_revision_is_behind_and_says_what_to_run(
    commands: Commands, empty_database: Database
) -> None:
    run_alembic("downgrade", "-1", env={"MIGRATION_DATABASE_URL": commands.database.migrator_url})
    made = commands.json("backup")
    assert (made["schema"], made["verification"]["outcome"]) == ("behind", "verified")

    done = commands.run("restore", "latest", *_into(empty_database))

    assert done.returncode == 3
    assert "run taskmanager migrate" in done.stdout
    variables = {"DATABASE_URL": empty_database.app_url, "MIGRATION_DATABASE_URL": empty_database.migrator_url}
    assert commands.run("migrate", **variables).returncode == 0
    assert commands.run("status", **variables).returncode == 0


def test_while_somebody_migrates_nothing_is_restored(commands: Commands, empty_database: Database) -> None:
    commands.backup()
    with psycopg.connect(empty_database.migrator_url, autocommit=True) as migrating:
        migrating.execute("SELECT pg_advisory_lock(%s)", [lock_key("public", "alembic_version")])
        done = commands.run("restore", "latest", *_into(empty_database))

    assert done.returncode == 75
    assert "migration is at work" in done.stderr


def test_there_is_no_backup_of_that_name(commands: Commands) -> None:
    commands.folder.mkdir()

    assert "taskmanager backups lists" in commands.run("restore", "tm-20200101T000000Z").stderr
    assert "no verified backup" in commands.run("restore", "latest").stderr


def test_a_password_among_the_arguments_is_told(commands: Commands, empty_database: Database) -> None:
    commands.backup()

    done = commands.run("restore", "latest", "--into", empty_database.migrator_url)
    assert "PGPASSWORD" in done.stderr

    password = psycopg.conninfo.conninfo_to_dict(empty_database.migrator_url)["password"]
    url = empty_database.migrator_url.replace(f":{password}@", "@")
    done = commands.run("restore", "latest", "--replace", "--without-backup", "--into", url, PGPASSWORD=str(password))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def another_cluster() -> Iterator[Cluster]:
    """A server that has none of the roles."""
    with temporary_cluster() as cluster:
        yield cluster


@pytest.fixture
def on_another(another_cluster: Cluster) -> Iterator[str]:
    """An empty database there, as its superuser."""
    with psycopg.connect(another_cluster.superuser_url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE restored")
    yield another_cluster.superuser_url("restored")
    with psycopg.connect(another_cluster.superuser_url(), autocommit=True) as admin:
        admin.execute("DROP DATABASE restored WITH (FORCE)")
        admin.execute("DROP ROLE IF EXISTS taskmanager_app, taskmanager_migrator, plain")


def test_a_server_without_the_roles_gets_them_from_a_superuser(commands: Commands, on_another: str) -> None:
    made = commands.backup()

    report = commands.json("restore", "latest", "--into", on_another)

    assert report["problems"] == []
    assert sorted(report["roles_made"]) == ["taskmanager_app", "taskmanager_migrator"]
    # Its server's own settings are not the database's, and nothing else differs.
    assert report["remarks"] == []
    assert report["roles_checksum"] == made["roles"]["checksum"]
    with psycopg.connect(on_another) as connection:
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'tasks'").fetchone()
        granted = connection.execute("SELECT has_table_privilege('taskmanager_app', 'tasks', 'UPDATE')").fetchone()
    assert (owner, granted) == (("taskmanager_migrator",), (True,))


def test_who_may_not_make_roles_is_told_which_script_does(
    commands: Commands, on_another: str, another_cluster: Cluster
) -> None:
    commands.backup()
    with psycopg.connect(on_another, autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'; ALTER DATABASE restored OWNER TO plain")
    url = another_cluster.url("plain", "plain", "restored")

    done = commands.run("restore", "latest", "--into", url)

    assert done.returncode == 1
    assert "lacks the roles taskmanager_app, taskmanager_migrator" in done.stderr
    assert "roles.sql" in done.stderr
    done = commands.run("restore", "latest", "--without-roles", "--into", url)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (50,)


def test_the_service_that_waits_goes_on_by_itself(commands: Commands, empty_database: Database, serve: object) -> None:
    commands.backup()
    service: Service = serve(empty_database)  # type: ignore[operator]
    service.wait_for("/readyz", 503)

    commands.json("restore", "latest", *_into(empty_database))

    service.wait_for("/readyz", 200)
    assert plain_http.get(f"{service.url}/tasks/50", timeout=10).json()["title"] == "Tâche 50"
