"""What an image is called when it is pushed, and what a host is told when it is deployed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ops.pipeline.cli import main
from ops.pipeline.deploy import DeployError, Target, remote_command
from ops.pipeline.push import PushError, hand_on, push, tags
from tests.ops.pipeline.test_scanners import stand_in
from tests.processes import free_port, lacking

DIGEST = "sha256:" + "5" * 64
IMAGE = f"somebody/taskmanager-api@{DIGEST}"


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("v1.2.3", ["1.2.3", "1.2", "latest"]),
        ("1.2.3", ["1.2.3", "1.2", "latest"]),
        ("v1.2.3-rc.1", ["1.2.3-rc.1"]),
    ],
)
def test_a_version_has_its_names_and_what_comes_before_a_release_is_not_the_latest(
    version: str, names: list[str]
) -> None:
    assert tags(version) == names


@pytest.mark.parametrize("version", ["latest", "v1", "1.2", "v1.2.3+build", "v1.2.3; reboot", ""])
def test_what_is_no_version_is_not_pushed(version: str) -> None:
    with pytest.raises(PushError, match="is no version"):
        tags(version)


def test_names_that_became_different_images_are_not_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Somebody else pushed in between: as docker tells it, a digest for each name.
    stand_in(tmp_path / "docker", 'case "$1" in push) printf "x: digest: sha256:%064d size: 1\\n" "${#2}";; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(PushError, match="are not one image"):
        push("one", "somebody/one", "v1.2.3", say=lambda _line: None)


def test_a_registry_that_refuses_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(tmp_path / "docker", 'case "$1" in push) echo "denied: requested access" >&2; exit 1;; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert main(["push", "--repository", "somebody/one", "--version", "v1.2.3"]) == 1
    assert "docker push failed: denied: requested access" in capsys.readouterr().err


def test_the_next_jobs_are_handed_the_digest(tmp_path: Path) -> None:
    hand_on(tmp_path / "output", "somebody/taskmanager-api", DIGEST)

    assert (tmp_path / "output").read_text() == f"digest={DIGEST}\nimage={IMAGE}\n"


@pytest.mark.parametrize("image", ["somebody/one:latest", "somebody/one", f"one@{DIGEST}; reboot", "one@sha256:55"])
def test_an_image_without_a_digest_is_not_deployed(image: str) -> None:
    with pytest.raises(DeployError, match="names no digest"):
        remote_command(Target("host"), image)


@pytest.mark.parametrize("repository", ["somebody/taskmanager", "somebody", "somebody/taskmanager-api2"])
def test_an_image_of_another_repository_is_not_deployed(repository: str) -> None:
    with pytest.raises(DeployError, match="is none of"):
        remote_command(Target("host", repository=repository), IMAGE)

    assert IMAGE in remote_command(Target("host", repository=IMAGE.partition("@")[0]), IMAGE)


@pytest.mark.parametrize("program", ["docker-compose", "docker"])
def test_the_host_pulls_and_starts_the_image_with_the_compose_that_it_has(program: str, tmp_path: Path) -> None:
    checkout, programs = tmp_path / "a folder's name", tmp_path / "bin"
    checkout.mkdir()
    programs.mkdir()
    stand_in(programs / program, f'echo "$PWD $TASKMANAGER_IMAGE $0 $*" >> {tmp_path / "log"}')

    told = remote_command(Target("host", folder=str(checkout)), IMAGE)
    done = subprocess.run(("/bin/sh", "-c", told), env={"PATH": str(programs)}, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    compose = f"{programs / program}" + (" compose" if program == "docker" else "")
    files = "-f docker-compose.yml -f docker/compose.production.yml"
    assert (tmp_path / "log").read_text().splitlines() == [
        f"{checkout} {IMAGE} {compose} {files} pull",
        f"{checkout} {IMAGE} {compose} {files} up -d --no-build",
    ]


def test_what_cannot_be_pulled_is_not_started(tmp_path: Path) -> None:
    stand_in(tmp_path / "docker-compose", f'echo "$*" >> {tmp_path / "log"}; exit 7')

    told = remote_command(Target("host", folder=str(tmp_path)), IMAGE)
    done = subprocess.run(("/bin/sh", "-c", told), env={"PATH": str(tmp_path)}, capture_output=True, check=False)

    assert done.returncode == 7
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_a_host_that_is_not_reached_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("ssh") is None:
        lacking("ssh", "apt-get install openssh-client")
    monkeypatch.setenv("DEPLOY_HOST", f"ssh://nobody@127.0.0.1:{free_port()}")
    monkeypatch.setenv("DEPLOY_IMAGE", IMAGE)

    assert main(["deploy"]) == 1
    assert "ssh did not reach ssh://nobody@127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "options"),
    [("push", "--repository, --version"), ("deploy", "--host, --image"), ("watch", "--service, --prometheus")],
)
def test_without_its_settings_none_is_done_and_they_are_named(
    verb: str, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb])

    assert ended.value.code == 2
    assert f"required: {options}" in capsys.readouterr().err
