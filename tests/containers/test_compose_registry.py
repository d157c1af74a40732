"""Push and pull against a registry on loopback, and a start from what was pulled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import plain_http
from tests.containers.compose_project import GENERATIONS, ComposeProject, Generation, checkout, wait_until
from tests.containers.engine import Engine
from tests.containers.prepare import IMAGE
from tests.processes import free_port, lacking

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a registry of this test; an engine speaks plain HTTP to loopback."""
    program = shutil.which("docker-registry")
    if program is None:
        lacking("docker-registry", "install Debian's package docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    address = f"127.0.0.1:{free_port()}"
    settings = folder / "config.yml"
    settings.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\nhttp:\n  addr: {address}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(settings)], stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: plain_http.get(f"http://{address}/v2/").status_code == 200, "the registry answers", 30)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_is_pushed_is_what_compose_pulls(
    engine: Engine, registry: str, generation: Generation, tmp_path: Path
) -> None:
    name = f"{registry}/somebody/taskmanager-api:{generation}"
    original = engine.image_id(IMAGE)
    engine.run("tag", IMAGE, name)
    engine.run("push", name)
    engine.run("rmi", name)
    assert engine.image_id(name) is None

    project = ComposeProject(engine, generation, checkout(tmp_path), environment={"TASKMANAGER_IMAGE": name})
    try:
        project.run("pull", "app", "migrate", "incidents", "backup")
        assert engine.image_id(name) == original
        project.up("db", "migrate", "app")
        project.wait_until_healthy("app")
        assert project.inspect("app")["Config"]["Image"] == name
    finally:
        project.down()
        engine.run("rmi", "--force", name, check=False)
