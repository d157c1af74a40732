"""`taskmanager keys`: what people and scripts get from it, and what it does to a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from taskmanager.access.keys import Keyring
from tests.processes import run


def keys(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "taskmanager", "keys", *arguments, env=variables)


def lets_in(keyring: Keyring, key: str, scope: str = "tasks:read") -> bool:
    return keyring.check(f"Bearer {key}".encode(), scope) is None


def test_a_key_goes_to_standard_output_alone_and_its_line_beside_it() -> None:
    done = keys("new")

    assert done.returncode == 0
    (key,) = done.stdout.splitlines()
    assert key not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert lets_in(Keyring(line), key)
    assert lets_in(Keyring(line), key, "tasks:write")
    assert not lets_in(Keyring(line), key, "metrics:read")


def test_for_a_script_everything_is_one_json_object() -> None:
    options = ("--json", "--scope", "metrics:read", "--expires-in", "90d", "--comment", "the scraper")
    done = keys("new", *options)

    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert set(told) == {"key", "id", "scopes", "expires_at", "state", "line"}
    assert told["line"].endswith("  # the scraper")
    assert (told["scopes"], told["state"]) == (["metrics:read"], "valid")
    lifetime_s = datetime.fromisoformat(told["expires_at"]).timestamp() - time.time()
    assert 90 * 86400 - 60 < lifetime_s <= 90 * 86400
    assert lets_in(Keyring(told["line"]), told["key"], "metrics:read")


def test_a_file_is_made_for_its_owner_alone_and_then_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = keys("new", "--file", str(file)).stdout.strip()
    assert file.stat().st_mode & 0o777 == 0o600

    second = keys("new", "--file", str(file), "--scope", "tasks:read").stdout.strip()
    keyring = Keyring(None, file)
    assert lets_in(keyring, first)
    assert lets_in(keyring, second)
    assert not {first, second} & set(file.read_text().split())


def test_a_file_keeps_its_mode_its_comments_and_its_last_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    before = f"# ours\nk7m2p9qx {'0' * 64} tasks:read never  # the shop"
    file.write_text(before)
    file.chmod(0o640)

    done = keys("new", "--file", str(file))

    assert done.returncode == 0
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text().startswith(before + "\n")
    assert len(Keyring(None, file)._keys) == 2


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("", 0o620, "others may write to it"),
        ("", 0o602, "others may write to it"),
        ("no key\n", 0o600, "line 1: 2 columns"),
    ],
)
def test_a_file_that_is_not_fit_for_keys_is_left_as_it_is(tmp_path: Path, content: str, mode: int, told: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    file.chmod(mode)

    done = keys("new", "--file", str(file))

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"taskmanager: {file}: no key is added: {told}")
    assert (file.read_text(), file.stat().st_mode & 0o777) == (content, mode)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = keys("new", "--file", str(tmp_path / "nowhere" / "keys"))

    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file or directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


STORED = f"""\
# the keys
aaaa {"a" * 64} tasks:read,tasks:write never  # secret name of the shop
bbbb {"b" * 64} metrics:read 2020-01-31T00:00:00Z
"""


def test_the_list_shows_ids_scopes_expiry_and_state_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(STORED)

    done = keys("list", "--file", str(file))

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["ID", "SCOPES", "EXPIRES", "STATE"],
        ["aaaa", "tasks:read,tasks:write", "never", "valid"],
        ["bbbb", "metrics:read", "2020-01-31T00:00:00Z", "expired"],
    ]
    machine = keys("list", "--json", TASKMANAGER_KEYS_FILE=str(file)).stdout
    assert [key["state"] for key in json.loads(machine)] == ["valid", "expired"]
    assert "shop" not in done.stdout + machine
    assert "aaaaa" not in done.stdout + machine


def test_without_a_file_the_list_is_that_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(STORED)
    inline = f"cccc {'c' * 64} tasks:read never"

    done = keys("list", TASKMANAGER_KEYS=inline, TASKMANAGER_KEYS_FILE=str(file))

    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ID", "cccc", "aaaa", "bbbb"]
    assert len(keys("list").stdout.splitlines()) == 1


def test_a_list_that_cannot_be_read_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(STORED + "nonsense\n")

    done = keys("list", "--file", str(file))

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"taskmanager: {file}, line 4: 1 columns instead of four: ID SHA256 SCOPES EXPIRY\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("new", "--scope", "everything"),
        ("new", "--expires-in", "0d"),
        ("new", "--expires-in", "90"),
        ("new", "--expires-in", "-1d"),
        ("new", "--comment", "two\nlines"),
    ],
)
def test_a_command_line_that_is_wrong_is_told_its_usage(arguments: tuple[str, ...]) -> None:
    done = keys(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: taskmanager keys")


def test_help_shows_how_a_key_is_replaced() -> None:
    done = keys("--help")

    assert done.returncode == 0
    for word in ("examples:", "To replace a key", "--file", "metrics:read"):
        assert word in done.stdout
