"""A backup: made, restored into a scratch database, compared."""

from __future__ import annotations

import json
import stat
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from taskmanager.backup import roles_sql
from taskmanager.backup.client_tools import find_tools
from taskmanager.backup.connecting import connected
from taskmanager.backup.roles import read_roles
from tests.taskmanager.backup.commands import Commands


def test_a_backup_is_made_restored_and_compared(commands: Commands) -> None:
    done = commands.run("backup")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified in" in done.stdout
    assert "every table as it was, the schema current, owners and rights as they were" in done.stdout
    assert "prepared as the application's role" in done.stdout
    (name,) = commands.names
    assert sorted(path.name for path in (commands.folder / name).iterdir()) == [
        "database.dump",
        "manifest.json",
        "roles.sql",
    ]


def test_the_manifest_tells_what_is_in_it(commands: Commands) -> None:
    made = commands.backup()

    rows = {table["name"]: table["rows"] for table in made["tables"]}
    assert (rows["public.tasks"], rows["public.idempotency_keys"]) == (50, 7)
    (revision,) = commands.database.execute("SELECT version_num FROM alembic_version")[0]
    assert made["history"]["revisions"] == [revision]
    assert made["history"]["runs"] == commands.database.execute("SELECT max(id) FROM migration_gate_run")[0][0]
    assert {role["name"] for role in made["roles"]["roles"]} == {"taskmanager_app", "taskmanager_migrator"}
    assert made["roles"]["database"]["owner"] == "taskmanager_migrator"
    assert "table public.tasks of taskmanager_migrator grants SELECT to taskmanager_app" in made["privileges"]
    assert made["sequences"]["public.tasks_id_seq"] == 50


def test_a_backup_holds_every_row_and_is_for_its_owner_alone(commands: Commands) -> None:
    commands.backup()

    (name,) = commands.names
    for path in (commands.folder, commands.folder / name, *(commands.folder / name).iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_no_row_and_no_password_stands_beside_the_dump(commands: Commands, server_passwords: list[str]) -> None:
    commands.backup()

    (name,) = commands.names
    told = (commands.folder / name / "manifest.json").read_text() + (commands.folder / name / "roles.sql").read_text()
    assert "Tâche" not in told
    assert "T\\u00e2che" not in told
    assert all(password not in told for password in server_passwords)


@pytest.fixture
def server_passwords(commands: Commands) -> list[str]:
    urls = (commands.database.app_url, commands.database.migrator_url, commands.database.admin_url)
    return [str(psycopg.conninfo.conninfo_to_dict(url)["password"]) for url in urls]


def test_what_is_written_meanwhile_is_in_neither_dump_nor_checksums(commands: Commands) -> None:
    stop = threading.Event()
    written = []

    def write() -> None:
        with psycopg.connect(commands.database.app_url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO tasks (title) VALUES ('meanwhile')")
                connection.execute("UPDATE tasks SET title = title || '.' WHERE id % 7 = 0 AND length(title) < 150")
                connection.execute("DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE id > 50 LIMIT 1)")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = commands.backup()
    finally:
        stop.set()
        writer.join()

    assert len(written) > 20
    assert made["verification"]["problems"] == []


def test_without_a_scratch_database_it_is_made_and_told_as_not_verified(commands: Commands) -> None:
    commands = Commands(commands.database, commands.folder, scratch=False)

    done = commands.run("backup")

    assert done.returncode == 4
    assert "NOT VERIFIED" in done.stdout
    assert "CREATEDB" in done.stdout
    assert "TASKMANAGER_BACKUP_SCRATCH_URL" in done.stdout
    assert len(commands.names) == 1


def test_a_role_that_may_make_databases_needs_no_other_server(commands: Commands) -> None:
    role = "backup_createdb"
    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'scratch' IN ROLE taskmanager_migrator")
    try:
        owner = commands.database.migrator_url
        password = psycopg.conninfo.conninfo_to_dict(owner)["password"]
        url = owner.replace(f"taskmanager_migrator:{password}", f"{role}:scratch")
        made = commands.backup(MIGRATION_DATABASE_URL=url, TASKMANAGER_BACKUP_SCRATCH_URL="")
    finally:
        with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {role}")

    assert made["verification"]["roles"]


def test_no_password_is_in_the_arguments_of_any_program(
    commands: Commands, server_passwords: list[str], tmp_path: Path
) -> None:
    tools = find_tools(18)
    for name in ("pg_dump", "pg_restore"):
        wrapper = tmp_path / "bin" / name
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] || {{ echo "$@"; env; }} >>{tmp_path}/said\n'
            f'exec {tools.folder}/{name} "$@"\n'
        )
        wrapper.chmod(0o755)

    commands.backup(TASKMANAGER_POSTGRES_BIN=str(tmp_path / "bin"))

    said = (tmp_path / "said").read_text()
    assert "--snapshot=" in said
    assert "--single-transaction" in said
    assert "PGPASSFILE=" in said
    variables = {"DATABASE_URL", "MIGRATION_DATABASE_URL", "TASKMANAGER_BACKUP_SCRATCH_URL"}
    lines = [line for line in said.splitlines() if line.partition("=")[0] not in variables]
    assert all(password not in line for password in server_passwords for line in lines)


def test_a_database_that_cannot_be_reached_is_told_by_its_cause(commands: Commands) -> None:
    done = commands.run("backup", MIGRATION_DATABASE_URL="postgresql://a:secret-4711@127.0.0.1:1/none")

    assert done.returncode == 69
    assert "refused" in done.stderr
    assert "secret-4711" not in done.stderr
    assert commands.names == []


def test_old_ones_are_deleted_once_the_new_one_is_verified(commands: Commands) -> None:
    first, second = commands.backup()["name"], commands.backup()["name"]

    third = commands.backup("--keep", "2")

    assert third["deleted"] == [first]
    assert commands.names == sorted([second, third["name"]])


def test_json_is_the_manifest_that_is_on_the_disk(commands: Commands) -> None:
    made = commands.backup()

    on_disk = json.loads((commands.folder / made["name"] / "manifest.json").read_text())
    assert {name: value for name, value in made.items() if name != "deleted"} == on_disk


def test_the_roles_can_be_made_anew_from_the_script(commands: Commands, tmp_path: Path) -> None:
    """As a superuser it makes what is missing and leaves alone what is there."""
    made = commands.backup()
    script = commands.folder / made["name"] / "roles.sql"
    text = script.read_text().replace("taskmanager_app", "script_app").replace("taskmanager_migrator", "script_owner")
    (tmp_path / "roles.sql").write_text(text)
    psql = find_tools(18).folder / "psql"

    for _ in range(2):
        subprocess.run(
            [psql, "--set=ON_ERROR_STOP=1", f"--dbname={commands.database.admin_url}", f"--file={tmp_path}/roles.sql"],
            check=True,
            capture_output=True,
        )

    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        member = admin.execute("SELECT pg_has_role('script_owner', 'pg_read_all_stats', 'MEMBER')").fetchone()
        admin.execute("DROP ROLE script_app; DROP ROLE script_owner")
    assert member == (True,)


def test_a_setting_that_is_a_list_comes_back_as_one(commands: Commands) -> None:
    """PostgreSQL keeps it as text with quotes in it, which as one literal would be the name of one schema."""
    name = commands.database.name
    commands.database.execute(f'ALTER DATABASE {name} SET search_path TO "$user", public, "a ""b"')
    kept = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s"
    before = commands.database.execute(kept, name)
    with connected(commands.database.migrator_url) as connection:
        roles = read_roles(connection)
    commands.database.execute(f"ALTER DATABASE {name} RESET search_path")

    for statement in roles_sql.of_database(roles, name):
        commands.database.execute(statement)

    assert commands.database.execute(kept, name) == before


def test_without_an_address_of_the_application_nothing_is_told_as_tried_as_its_role(commands: Commands) -> None:
    made = commands.backup(DATABASE_URL="")

    assert made["verification"]["roles"]
    assert not made["verification"]["as_application"]
