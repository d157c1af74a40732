"""The two Dockerfiles of the story, word for word: their steps, in a bare virtual environment, without an engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import ROOT, Service, lacking, run

DOCKERFILES = Path(__file__).parent / "dockerfiles"


@dataclass(frozen=True)
class Image:
    """What building an image leaves: a folder with the code, and an environment with the packages."""

    app: Path
    binaries: Path

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": f"{self.binaries}:{os.environ['PATH']}", "PYTHONPATH": ""} | variables


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The build steps, which the two Dockerfiles share."""
    folder = tmp_path_factory.mktemp("image")
    image = Image(folder / "app", folder / "venv" / "bin")
    image.app.mkdir()
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    for instruction, argument in _steps("before"):
        if instruction == "COPY" and argument == "requirements.txt .":
            shutil.copy(ROOT / "requirements.txt", image.app)
        elif instruction == "COPY":
            _copy_tree(image.app)
        elif instruction == "RUN":
            done = run("sh", "-c", argument, env=image.environment(), cwd=image.app)
            if done.returncode:
                lacking("the package index", f"`{argument}` said: {done.stderr[-300:]}")
    return image


def test_the_two_files_differ_in_their_command_alone() -> None:
    before, after = _steps("before"), _steps("after")

    assert before[:-1] == after[:-1]
    assert [instruction for instruction, _ in before] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY", "EXPOSE", "CMD"]


def test_the_faulty_image_with_the_gate_off_is_the_incident(image: Image, empty_database: Database) -> None:
    with started(image, "before", empty_database, TASKMANAGER_SCHEMA_GATE="off") as service:
        service.wait_for("/health", 200)
        assert service.get("/tasks").status_code == 500
        assert 'relation "tasks" does not exist' in service.log


def test_the_faulty_image_as_it_is_refuses_traffic_instead(image: Image, empty_database: Database) -> None:
    with started(image, "before", empty_database) as service:
        service.wait_for("/livez", 200)
        assert service.wait_for("/tasks", 503).headers["retry-after"]
        assert service.get("/health").status_code == 503


def test_the_corrected_image_migrates_and_serves(image: Image, empty_database: Database) -> None:
    with started(image, "after", empty_database) as service:
        assert service.wait_for("/tasks", 200).json() == []
        created = service.request("POST", "/tasks", json={"title": "Ma première tâche", "description": "Test de l'API"})
        assert created.status_code == 201


@contextmanager
def started(image: Image, dockerfile: str, database: Database, **variables: str) -> Iterator[Service]:
    """The image's command, on a free port in place of the 8000 of its container."""
    instruction, argument = _steps(dockerfile)[-1]
    assert instruction == "CMD"
    command = [part.replace("8000", "{port}") for part in json.loads(argument)]
    command[0] = shutil.which(command[0], path=image.environment()["PATH"]) or command[0]
    # An image of its owner: one database address, that of the role which owns the tables.
    environment = image.environment(DATABASE_URL=database.migrator_url, **variables)
    with Service(environment, image.app.parent, command=("setsid", *command), cwd=image.app) as service:
        try:
            yield service
        finally:
            # `sh -c` stays in front of uvicorn and hands no signal on: end the whole group.
            os.killpg(service.process.pid, signal.SIGKILL)


def _steps(dockerfile: str) -> list[tuple[str, str]]:
    lines = (DOCKERFILES / f"{dockerfile}.Dockerfile").read_text().splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(instruction, argument) for instruction, argument in instructions]


def _copy_tree(target: Path) -> None:
    """What a clone holds: `COPY . .` in a fresh clone copies that and the git folder, which nothing here reads."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
