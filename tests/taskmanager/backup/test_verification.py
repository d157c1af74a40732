"""A trial sees what is wrong: with the files, with what they hold, and with what came out of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from taskmanager.backup.client_tools import find_tools
from tests.taskmanager.backup.commands import Commands

Change = Callable[[dict[str, Any]], None]


def _rewrite(commands: Commands, change: Change) -> str:
    """Change what the manifest says of the one backup."""
    (name,) = commands.names
    file = commands.folder / name / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))
    return name


def _table(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(table for table in manifest["tables"] if table["name"] == f"public.{name}")


def _fewer_rows(manifest: dict[str, Any]) -> None:
    _table(manifest, "tasks")["rows"] -= 1


def _other_rows(manifest: dict[str, Any]) -> None:
    _table(manifest, "tasks")["sha256"] = "0" * 64


def _a_further_table(manifest: dict[str, Any]) -> None:
    manifest["tables"].append({"name": "public.users", "rows": 1, "sha256": "0" * 64})


def _one_table_less(manifest: dict[str, Any]) -> None:
    manifest["tables"].remove(_table(manifest, "idempotency_keys"))


def _another_revision(manifest: dict[str, Any]) -> None:
    manifest["history"]["revisions"] = ["0123456789ab"]


def _another_run(manifest: dict[str, Any]) -> None:
    manifest["history"]["runs"] += 1


def _a_sequence_further_on(manifest: dict[str, Any]) -> None:
    manifest["sequences"]["public.tasks_id_seq"] += 1


def _a_right_more(manifest: dict[str, Any]) -> None:
    manifest["privileges"].append("table public.tasks of taskmanager_migrator grants TRUNCATE to taskmanager_app")


def _another_verdict(manifest: dict[str, Any]) -> None:
    manifest["schema"] = "drifted"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_fewer_rows, "public.tasks has 50 rows, and had 49"),
        (_other_rows, "public.tasks has as many rows as it had, and others"),
        (_a_further_table, "public.users is missing"),
        (_one_table_less, "public.idempotency_keys that was not there"),
        (_another_revision, "and was 0123456789ab"),
        (_another_run, "the ledger ends at run"),
        (_a_sequence_further_on, "public.tasks_id_seq would give numbers again"),
        (_a_right_more, "missing: table public.tasks of taskmanager_migrator grants TRUNCATE"),
        (_another_verdict, "calls it current, and called the database drifted"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_not_as_it_was_fails_the_trial(unverified: Commands, change: Change, told: str) -> None:
    name = _rewrite(unverified, change)

    done = unverified.run("backups", "--verify", name)

    assert done.returncode == 5
    assert told in done.stderr
    assert "FAILED" in done.stdout
    noted = json.loads((unverified.folder / name / "manifest.json").read_text())
    assert noted["verification"]["outcome"] == "failed"
    assert len(noted["verification"]["problems"]) == 1


@pytest.fixture
def unverified(commands: Commands) -> Commands:
    """The commands, with one backup that nobody has tried."""
    without = Commands(commands.database, commands.folder, scratch=False)
    assert without.run("backup").returncode == 4
    return commands


def test_what_nobody_changed_passes_it(unverified: Commands) -> None:
    done = unverified.run("backups", "--verify")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith("yes")


def test_a_damaged_dump_is_told_by_its_checksum(unverified: Commands) -> None:
    (name,) = unverified.names
    dump = unverified.folder / name / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-1])

    done = unverified.run("backups", "--verify", "all")

    assert done.returncode == 5
    assert "is damaged" in done.stderr


def test_a_dump_that_cannot_be_restored_is_told_without_a_row_of_it(unverified: Commands) -> None:
    """Its checksum is right, and pg_restore refuses it."""
    (name,) = unverified.names
    dump = unverified.folder / name / "database.dump"
    dump.write_bytes(b"Tache 1, and no archive")

    def as_it_is(manifest: dict[str, Any]) -> None:
        content = dump.read_bytes()
        manifest["files"]["database.dump"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    _rewrite(unverified, as_it_is)
    done = unverified.run("backups", "--verify", "all")

    assert done.returncode == 5
    assert "could not be restored: pg_restore failed" in done.stderr
    assert "Tache" not in done.stderr


def test_a_folder_without_a_readable_manifest_is_no_backup(unverified: Commands) -> None:
    (name,) = unverified.names
    (unverified.folder / name / "manifest.json").write_text("{")

    done = unverified.run("backups")

    assert done.returncode == 5
    assert "There is no backup" in done.stdout
    assert "manifest.json" in done.stderr


def test_a_newer_format_is_named(unverified: Commands) -> None:
    def newer(manifest: dict[str, Any]) -> None:
        manifest["format"] = 2

    _rewrite(unverified, newer)

    assert "of format 2, and this release reads format 1" in unverified.run("backups").stderr


def test_on_a_server_without_the_roles_the_contents_are_compared_alone(unverified: Commands) -> None:
    """They are the server's own: another role of the same name is not made for a trial."""

    def of_another_owner(manifest: dict[str, Any]) -> None:
        for role in manifest["roles"]["roles"]:
            role["name"] = f"{role['name']}_elsewhere"

    _rewrite(unverified, of_another_owner)
    (found,) = unverified.json("backups", "--verify")

    assert found["verification"]["outcome"] == "verified"
    assert not found["verification"]["roles"]
    assert not found["verification"]["as_application"]


def test_a_scratch_server_that_does_not_answer_says_nothing_of_the_backup(unverified: Commands) -> None:
    nobody = "postgresql://a:b@127.0.0.1:1/none"

    done = unverified.run("backups", "--verify", TASKMANAGER_BACKUP_SCRATCH_URL=nobody)

    assert done.returncode == 4
    assert "could not be tried" in done.stderr
    assert "not tried" in done.stdout


@pytest.mark.parametrize("scratch", ["postgresql://a:b@127.0.0.1:1/none", ""], ids=["no server", "no right"])
def test_what_a_trial_has_found_stays_where_the_next_one_cannot_be_held(commands: Commands, scratch: str) -> None:
    """Otherwise a scratch server that is away for an hour leaves nobody a verified backup."""
    made = commands.backup()

    done = commands.run("backups", "--verify", TASKMANAGER_BACKUP_SCRATCH_URL=scratch)

    assert done.returncode == 4
    assert f"{made['name']}: " in done.stderr
    (found,) = commands.json("backups")
    assert found["verification"] == made["verification"]


def test_a_scratch_server_that_goes_away_in_the_middle_says_nothing_of_the_backup(
    commands: Commands, tmp_path: Path
) -> None:
    """pg_restore fails, and not for the dump's sake."""
    made = commands.backup()
    tools = find_tools(18).folder
    # Of the scratch database alone, which PGDATABASE names: other tests have theirs on this server.
    others = "datname = '$PGDATABASE' AND pid <> pg_backend_pid()"
    end_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    restore = f"""#!/bin/sh
        [ "$1" = --version ] && exec {tools}/pg_restore "$@"
        {tools}/psql -qc "{end_all}" "{commands.database.admin_url}" >&2
        echo 'pg_restore: error: server closed the connection' >&2
        exit 1
    """
    for name, does in (("pg_dump", f'#!/bin/sh\nexec {tools}/pg_dump "$@"\n'), ("pg_restore", restore)):
        (tmp_path / name).write_text(does)
        (tmp_path / name).chmod(0o755)

    done = commands.run("backups", "--verify", TASKMANAGER_POSTGRES_BIN=str(tmp_path))

    assert done.returncode == 4, done.stderr
    assert "could not be tried" in done.stderr
    (found,) = commands.json("backups")
    assert found["verification"] == made["verification"]


def test_no_backup_is_told_in_words_and_as_json(commands: Commands) -> None:
    commands.folder.mkdir()

    assert "There is no backup" in commands.run("backups").stdout
    assert commands.json("backups") == []


def test_a_table_without_a_key_and_one_in_another_schema_are_compared_too(commands: Commands) -> None:
    with psycopg.connect(commands.database.admin_url, autocommit=True) as admin:
        admin.execute(
            "SET ROLE taskmanager_migrator; CREATE SCHEMA other;"
            " CREATE TABLE other.keyless (a text, b jsonb, c float8); INSERT INTO other.keyless"
            " SELECT i % 3, jsonb_build_object('i', i), random() FROM generate_series(1, 100) i"
        )

    made = commands.json("backup")

    assert {name: value for name, value in made["tables"][0].items() if name != "sha256"} == {
        "name": "other.keyless",
        "rows": 100,
    }
    assert made["verification"]["outcome"] == "verified"
