"""Docker and compose as commands: v2's `docker compose` where it is, otherwise v1's `docker-compose`."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.deploy.errors import StepFailed
from stack.deploy.releases import Told
from stack.errors import StackError

IMAGE_VARIABLE = "TASKMANAGER_IMAGE"
REPOSITORY = "taskmanager-api"
COMMAND_SECONDS = 120.0
PULL_SECONDS = 900.0


class Compose:
    """One project: its folder and its files."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        """Raises StackError where this machine has no compose, or the project no such file."""
        self._folder = folder.absolute()
        for file in files:
            if not (self._folder / file).is_file():
                raise StackError(f"{self._folder} has no {file}: name the files of the project with --file")
        self._command = [*_compose_program(), *(word for file in files for word in ("-f", file))]

    def run(self, *words: str, release: str = "", timeout: float = COMMAND_SECONDS) -> Told:
        """`compose …`; services that it starts are of `release`."""
        # The production overlay refuses to be read without an image, also by what starts nothing.
        variables = {IMAGE_VARIABLE: image_of(release) if release else os.environ.get(IMAGE_VARIABLE) or REPOSITORY}
        return _run([*self._command, *words], self._folder, variables, timeout)

    def must(self, *words: str, release: str = "", timeout: float = COMMAND_SECONDS) -> Told:
        """The same, and raises StepFailed where it does not end well."""
        return _must(self.run(*words, release=release, timeout=timeout), f"compose {words[0]}")

    def container(self, service: str) -> str:
        """The id of a service's container, running or not; empty where there is none."""
        # v1 lists those that have ended too, v2 where it is asked to, and neither takes the other's word for it badly.
        lines = self.must("ps", "-a", "-q", service).output.split()
        return lines[0] if lines else ""


def docker(*words: str, timeout: float = COMMAND_SECONDS) -> Told:
    """`docker …`."""
    return _run(["docker", *words], Path.cwd(), {}, timeout)


def must_docker(*words: str, timeout: float = COMMAND_SECONDS) -> Told:
    """The same, and raises StepFailed where it does not end well."""
    return _must(docker(*words, timeout=timeout), f"docker {words[0]}")


def inspect(what: str) -> Mapping[str, object] | None:
    """What docker knows of a container; None where there is none."""
    told = docker("container", "inspect", what)
    if told.code != 0:
        return None
    found = json.loads(told.output)
    return found[0] if found else None


def image_of(release: str) -> str:
    """The name by which a release is started: one that no later pull moves."""
    return f"{REPOSITORY}:deployed-{release[:12]}"


def _compose_program() -> list[str]:
    if shutil.which("docker") and _run(["docker", "compose", "version"], Path.cwd(), {}, COMMAND_SECONDS).code == 0:
        return ["docker", "compose"]
    if found := shutil.which("docker-compose"):
        return [found]
    raise StackError("neither `docker compose` nor docker-compose is installed")


def _run(command: list[str], folder: Path, variables: Mapping[str, str], timeout: float) -> Told:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            # Ctrl-C is for the deployment, which ends what it runs by itself.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise StepFailed(f"`{' '.join(command[:3])} …` took more than {timeout:g} s") from None
    return Told(done.returncode, done.stdout, done.stderr)


def _must(told: Told, what: str) -> Told:
    if told.code != 0:
        raise StepFailed(f"{what} failed: {' | '.join(told.last_words(2))}", told.last_words())
    return told
