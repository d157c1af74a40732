"""Where the addresses come from, and how Alembic is called on them."""

import sys
from pathlib import Path

import pytest

from stack.database_urls import DatabaseUrls, alembic_command, chosen_urls
from stack.errors import StackError
from stack.user_settings import read_user_settings

MINE, OTHER = "postgresql://mine.example/tasks", "postgresql://other.example/tasks"
VARIABLES = (
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "MIGRATION_DATABASE_URL",
    "MIGRATION_DATABASE_URL_FILE",
    "TASKMANAGER_ENV_FILE",
    "TASKMANAGER_MIGRATE",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with no variable of ours set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Path.cwd()


def write_env(folder: Path, **variables: str) -> None:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def test_both_addresses_come_from_the_environment_when_it_names_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_env(here, DATABASE_URL=OTHER, MIGRATION_DATABASE_URL=OTHER)
    monkeypatch.setenv("DATABASE_URL", MINE)
    assert chosen_urls(read_user_settings()) == DatabaseUrls(MINE, None, "the environment")


def test_both_addresses_come_from_the_file_when_the_environment_names_none(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_env(here, DATABASE_URL=OTHER)
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "")
    urls = chosen_urls(read_user_settings())
    assert urls == DatabaseUrls(OTHER, None, f"{here / '.env'}")
    assert urls.environment() == {
        "DATABASE_URL": OTHER,
        "MIGRATION_DATABASE_URL": "",
        "DATABASE_URL_FILE": "",
        "MIGRATION_DATABASE_URL_FILE": "",
    }


def test_an_address_may_stand_in_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "address").write_text(f"{MINE}\n")
    write_env(here, DATABASE_URL=OTHER)
    monkeypatch.setenv("DATABASE_URL_FILE", "address")

    assert chosen_urls(read_user_settings()) == DatabaseUrls(MINE, None, "the environment")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "which cannot be read: No such file or directory"),
        (b"\n", "which must hold one value on one line, and nothing else"),
        (b"one\ntwo\n", "which must hold one value on one line, and nothing else"),
        (b"\xff", "which is not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_address_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (here / "address").write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", "address")

    with pytest.raises(StackError) as caught:
        chosen_urls(read_user_settings())
    assert str(caught.value) == f"DATABASE_URL_FILE names address, {complaint}"


def test_an_address_that_is_given_twice_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", MINE)
    monkeypatch.setenv("DATABASE_URL_FILE", "address")

    with pytest.raises(StackError, match=r"^DATABASE_URL and DATABASE_URL_FILE are both set \(in the environment\)"):
        chosen_urls(read_user_settings())


def test_a_source_with_only_the_migrations_address_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(here, DATABASE_URL=OTHER)
    monkeypatch.setenv("MIGRATION_DATABASE_URL", MINE)
    with pytest.raises(
        StackError, match=r"^MIGRATION_DATABASE_URL is set but DATABASE_URL is not \(in the environment"
    ):
        chosen_urls(read_user_settings())
    monkeypatch.delenv("MIGRATION_DATABASE_URL")
    write_env(here, MIGRATION_DATABASE_URL=OTHER)
    with pytest.raises(StackError, match=r"is set but DATABASE_URL is not \(in /.*/\.env\)"):
        chosen_urls(read_user_settings())


@pytest.mark.usefixtures("here")
def test_without_an_address_none_is_chosen() -> None:
    assert chosen_urls(read_user_settings()) is None


def test_other_settings_are_taken_one_by_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(here, TASKMANAGER_MIGRATE="Never")
    monkeypatch.setenv("DATABASE_URL", MINE)
    assert read_user_settings().choice("TASKMANAGER_MIGRATE") == "never"
    monkeypatch.setenv("TASKMANAGER_MIGRATE", "on_start")
    assert read_user_settings().choice("TASKMANAGER_MIGRATE") == "on_start"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"A=1\nnot an assignment\n", "line 2: not of the form NAME=value"),
        (b"A=1\r\n\r\n# note\r\n\r\n  not an assignment\r\n", "line 5: not of the form NAME=value"),
        (b"A='never closed\nB=1\n", "line 1: not of the form NAME=value"),
        (b"A=1\nB=caf\xe9\n", "line 2: not UTF-8 text"),
        ("A=1\n".encode("utf-16"), "line 1: not UTF-8 text"),
        ("A=1\n".encode("utf-16-le"), "line 1: not UTF-8 text"),
    ],
)
def test_unreadable_env_file_is_named_with_the_line(here: Path, content: bytes, complaint: str) -> None:
    (here / ".env").write_bytes(content)
    with pytest.raises(StackError) as caught:
        read_user_settings()
    assert str(caught.value) == f"{here / '.env'}, {complaint}"


def test_what_dotenv_can_read_is_no_error(here: Path) -> None:
    (here / ".env").write_text(f"\ufeff# note\n\nexport DATABASE_URL = '{MINE}'  # mine\nBARE\n\n\n")
    urls = chosen_urls(read_user_settings())
    assert urls is not None
    assert urls.app == MINE


def test_a_named_env_file_must_be_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMANAGER_ENV_FILE", "no-such-file")
    with pytest.raises(
        StackError, match=rf"^TASKMANAGER_ENV_FILE names {here}/no-such-file, and there is no such file"
    ):
        read_user_settings()


def test_an_empty_name_means_no_env_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(here, DATABASE_URL=OTHER)
    monkeypatch.setenv("TASKMANAGER_ENV_FILE", "")
    assert chosen_urls(read_user_settings()) is None


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (".data", ".venv/bin/alembic"),
        (".data/other", "TASKMANAGER_ENV_FILE=.data/other/service.env .venv/bin/alembic"),
        ("two words", "TASKMANAGER_ENV_FILE='two words/service.env' .venv/bin/alembic"),
        ("/elsewhere", "TASKMANAGER_ENV_FILE=/elsewhere/service.env .venv/bin/alembic"),
    ],
)
def test_alembic_is_called_by_the_shortest_command_that_works(
    here: Path, monkeypatch: pytest.MonkeyPatch, data: str, command: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
    assert alembic_command(here / data) == command


def test_alembic_is_told_the_file_where_it_would_look_into_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMANAGER_ENV_FILE", "")
    monkeypatch.setattr(sys, "executable", "/opt/venv/bin/python")
    assert alembic_command(here / ".data") == "TASKMANAGER_ENV_FILE=.data/service.env /opt/venv/bin/alembic"
