"""Secrets in files of their own: NAME_FILE in the place of NAME, and never a character of such a file anywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskmanager.settings import SettingsError, load_settings
from tests.databases import Database
from tests.processes import Service, run, run_alembic

CANARY = "pass-canary-4711"
URL = f"postgresql://app:{CANARY}@db.example/tasks"
OTHER_URL = "postgresql://other:pw@other.example/tasks"
DSN = f"https://{CANARY}@sentry.example/1"
NAMES = ["DATABASE_URL", "MIGRATION_DATABASE_URL", "SENTRY_DSN"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _held(folder: Path, content: str | bytes, name: str = "secret") -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def _refusal(variables: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(variables)
    told = str(raised.value)
    assert CANARY not in told
    return told


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_each_secret_is_read_from_a_file_that_holds_it_alone(folder: Path, ending: str) -> None:
    settings = load_settings(
        {
            "DATABASE_URL_FILE": _held(folder, URL + ending, "app"),
            "MIGRATION_DATABASE_URL_FILE": _held(folder, OTHER_URL + ending, "owner"),
            "SENTRY_DSN_FILE": _held(folder, DSN + ending, "dsn"),
        }
    )

    assert (settings.database_url, settings.migration_database_url) == (URL, OTHER_URL)
    assert settings.sentry_dsn == DSN
    assert CANARY not in repr(settings)


def test_an_empty_name_of_a_file_counts_as_unset(folder: Path) -> None:
    settings = load_settings({"DATABASE_URL": URL, "DATABASE_URL_FILE": "", "SENTRY_DSN_FILE": ""})

    assert (settings.database_url, settings.sentry_dsn) == (URL, None)


def test_the_nearer_source_wins_whichever_way_it_names_an_address(folder: Path) -> None:
    (folder / ".env").write_text(f"DATABASE_URL={OTHER_URL}\nMIGRATION_DATABASE_URL={OTHER_URL}\nSENTRY_DSN_FILE=gone")

    settings = load_settings({"DATABASE_URL_FILE": _held(folder, URL), "SENTRY_DSN": DSN})

    # Both addresses from one place, as ever; and a file that does not count need not be there.
    assert (settings.database_url, settings.migration_database_url) == (URL, None)
    assert settings.sentry_dsn == DSN


def test_an_env_file_may_name_the_file(folder: Path) -> None:
    (folder / ".env").write_text(f"DATABASE_URL_FILE={_held(folder, URL)}\n")

    assert load_settings({}).database_url == URL


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_that_is_given_twice_is_refused(folder: Path, name: str) -> None:
    told = _refusal({name: DSN if name == "SENTRY_DSN" else URL, f"{name}_FILE": _held(folder, URL)})

    assert told == f"{name} and {name}_FILE: both are set, and only one can count; unset one of them"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (f"{URL}\n{CANARY}\n".encode(), "has more than one line"),
        (f"{CANARY}\r{URL}".encode(), "has more than one line"),
        (f"{URL}\0".encode(), "has characters that no value has"),
        (URL.encode("utf-16"), "is not UTF-8 text"),
        (f"caf\xe9 {CANARY}".encode("latin-1"), "is not UTF-8 text"),
        ((CANARY * 2000).encode(), "is too long for one value"),
    ],
)
def test_a_file_that_holds_anything_but_one_value_is_refused(
    folder: Path, name: str, content: bytes, words: str
) -> None:
    path = _held(folder, content)

    told = _refusal({f"{name}_FILE": path})

    assert told.startswith(f"{name}_FILE: {path} {words}")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_there_is_named(folder: Path, name: str) -> None:
    assert _refusal({f"{name}_FILE": "nowhere"}).startswith(f"{name}_FILE: there is no file nowhere; ")
    assert _refusal({f"{name}_FILE": str(folder)}) == f"{name}_FILE: {folder} cannot be read: Is a directory"


def test_a_value_that_cannot_be_used_is_told_by_the_variable_that_named_its_file(folder: Path) -> None:
    path = _held(folder, f"mysql://app:{CANARY}@db/tasks")

    assert _refusal({"DATABASE_URL_FILE": path}).startswith("DATABASE_URL_FILE: The database address must begin with")
    assert _refusal({"SENTRY_DSN_FILE": path}).startswith("SENTRY_DSN: it does not begin with https://")


COMMANDS = {
    "serve": ("-m", "taskmanager", "serve", "--port", "0"),
    "migrate": ("-m", "taskmanager", "migrate"),
    "status": ("-m", "taskmanager", "status"),
    "uvicorn": ("-m", "uvicorn", "main:app", "--port", "0"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_ends_with_78_and_says_which_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = _held(tmp_path, f"{URL}\n{CANARY}\n")

    done = run(sys.executable, *command, env={"DATABASE_URL_FILE": path})

    assert done.returncode == 78, done.stdout + done.stderr
    assert f"taskmanager: DATABASE_URL_FILE: {path} has more than one line; it holds the value alone" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_alembic_says_which_file(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "alembic", "current", env={"MIGRATION_DATABASE_URL_FILE": str(tmp_path / "gone")})

    assert done.returncode != 0
    assert f"MIGRATION_DATABASE_URL_FILE: there is no file {tmp_path / 'gone'}" in done.stdout


def test_a_service_migrates_and_serves_by_files_alone(
    empty_database: Database, tmp_path: Path, serve: Callable[..., Service]
) -> None:
    files = {
        "DATABASE_URL": "",
        "MIGRATION_DATABASE_URL": "",
        "DATABASE_URL_FILE": _held(tmp_path, empty_database.app_url, "app"),
        "MIGRATION_DATABASE_URL_FILE": _held(tmp_path, empty_database.migrator_url, "owner"),
    }

    service = serve(empty_database, TASKMANAGER_MIGRATE="on_start", TASKMANAGER_LOG_LEVEL="debug", **files)
    service.wait_for("/readyz", 200)

    assert service.get("/tasks").json() == []
    told = run(sys.executable, "-m", "taskmanager", "status", "--json", env=files)
    assert json.loads(told.stdout)["state"] == "current"
    assert "(head)" in run_alembic("current", env=files).stdout
    seen = service.log + service.get("/metrics").text + told.stdout + told.stderr
    for url in (empty_database.app_url, empty_database.migrator_url):
        password = url.split(":")[2].split("@")[0]
        assert password not in seen
