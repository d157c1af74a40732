import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.database_urls import mask_password
from stack.service import base_url

IS_ROOT = os.geteuid() == 0


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_where_only_the_service_is_installed_it_says_what_it_needs(launcher_environment: dict[str, str]) -> None:
    without_rich = "import sys; sys.modules['rich'] = None; from stack.cli import main; sys.exit(main(['up']))"
    done = subprocess.run(
        [sys.executable, "-c", without_rich], env=launcher_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make install" in done.stderr
    assert "rich" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"]])
def test_help_has_examples(arguments: list[str], launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment, *arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: stack ")
    assert "stack up --port 8001" in done.stdout
    assert "make run" in done.stdout


def test_bare_command_prints_the_help(launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment)
    assert done.returncode == 2
    assert done.stderr == run(launcher_environment, "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--port", "0"],
        ["up", "--port", "x"],
        ["up", "--monitoring", "perhaps"],
        ["up", "--incidents-port", "0"],
        ["down"],
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_wrong_port_in_the_environment_is_one_line(launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment | {"PORT": "many"}, "up")
    assert done.returncode == 2
    assert "'many' is no port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_unwritable_folder_is_one_line(folder: Path, launcher_environment: dict[str, str]) -> None:
    # Root may write anywhere but there, where the kernel takes no folders.
    closed = Path("/proc/self") if IS_ROOT else folder / "closed"
    if not IS_ROOT:
        closed.mkdir(mode=0o500)
    for data in (closed, closed / "data"):
        done = run(launcher_environment, "up", "--data", str(data))
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: cannot write in {data}: ")
        assert "make run DATA=" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_file_in_place_of_the_folder_is_one_line(
    below: str, folder: Path, launcher_environment: dict[str, str]
) -> None:
    (folder / "data").write_text("")
    done = run(launcher_environment, "up", "--data", str(folder / "data" / below))
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {folder / 'data'} is a file, not a folder: choose another folder (make run DATA=FOLDER)\n"
    )


def test_foreign_host_is_one_line(folder: Path, launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment, "up", "--host", "192.0.2.1", "--data", str(folder / "data"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot listen on 192.0.2.1: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_host_that_cannot_be_a_name_is_one_line(host: str, folder: Path, launcher_environment: dict[str, str]) -> None:
    done = run(launcher_environment, "up", "--host", host, "--data", str(folder / "data"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot listen on {host}: it is no address and no name. Use --host ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://me:s3@cret@host:5/db", "postgresql://me:***@host:5/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me@host/db?password=s&x=1", "postgresql://me@host/db?password=***&x=1"),
        ("host=h password='a b' user=me", "host=h password=*** user=me"),
    ],
)
def test_masks_passwords(url: str, masked: str) -> None:
    assert mask_password(url) == masked


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - turned into a URL, not bound
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_url_can_be_opened(host: str, url: str) -> None:
    assert base_url(host, 8000) == url
