"""Replicas of a compose project, and the commands of an operator who deploys on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.containers.compose_programs import compose_v1, compose_v2
from tests.containers.compose_project import NAME, ComposeProject, Generation
from tests.containers.engine import Engine
from tests.deployments.rig import Deployed, finished
from tests.deployments.trees import Made, Migration, Releases
from tests.processes import ROOT

API = "http://127.0.0.1:8000"
SLOTS = ("app-1", "app-2", "app-3", "app-4")

# A release on the image of this tree: its code and its migrations, compiled as in the Dockerfile.
_DOCKERFILE = """\
ARG BASE
FROM $BASE
USER root
COPY alembic alembic
COPY taskmanager taskmanager
RUN python -m compileall -q --invalidation-mode unchecked-hash /app
USER 10001:10001
ARG COMMIT
ENV TASKMANAGER_COMMIT=$COMMIT
"""


class Site:
    """`checkout` is the project's folder, `base` the image that serves first; `variables` are for the commands."""

    def __init__(
        self,
        engine: Engine,
        generation: Generation,
        folder: Path,
        checkout: Path,
        files: Sequence[str],
        base: str,
        variables: Mapping[str, str],
    ) -> None:
        self.project = ComposeProject(engine, generation, checkout, files, {"TASKMANAGER_IMAGE": base})
        self.releases = Releases(folder / "releases")
        self._files = files
        self._base = base
        self._variables = variables
        self._data = folder / "data"
        self._dockerfile = folder / "Dockerfile"
        self._dockerfile.write_text(_DOCKERFILE)
        self._engine = engine
        self._migrated = ""
        self._path = _only(generation, folder / "programs")

    def release(self, words: str, migration: Migration | None = None, **files: str) -> Made:
        """A release that follows the first one, and has the migrations that were applied since."""
        self.releases.back_to(self.releases.first, self._migrated)
        made = self.releases.release(words, migration, **files)
        self._migrated = made.commit if migration else self._migrated
        return made

    def image(self, made: Made) -> str:
        """The name of an image of a release."""
        tag = f"taskmanager-api:test-{made.commit[:12]}"
        arguments = ("--build-arg", f"BASE={self._base}", "--build-arg", f"COMMIT={made.commit}")
        self._engine.build(tag, dockerfile=self._dockerfile, context=self.releases.folder, arguments=arguments)
        return tag

    def begin(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        names = {"COMPOSE_PROJECT_NAME": NAME, "PATH": f"{self._path}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.Popen(
            [sys.executable, "-m", "stack", verb, *arguments, "--data", f"{self._data}"],
            cwd=ROOT,
            env=os.environ | self._engine.environment | self._variables | names,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def order(self, verb: str, *arguments: str) -> Deployed:
        """`stack deploy --compose …` or `stack rollback --compose …`, to its end."""
        files = [word for file in self._files for word in ("--file", file)]
        source = ("--compose", "--source", f"{self.project.folder}", *files)
        return finished(self.begin(verb, *arguments, *source, "--json"))

    def listed(self, *arguments: str) -> str:
        output, errors = self.begin("deployments", *arguments).communicate()
        assert not errors
        return output

    def serving(self) -> dict[str, str]:
        """By slot, the commit that its replica tells of itself; a slot that is empty is left out."""
        identities = {slot: self.project.run("ps", "--all", "--quiet", slot).stdout.strip() for slot in SLOTS}
        return {slot: self._commit(identity) for slot, identity in identities.items() if identity}

    def _commit(self, container: str) -> str:
        words = ("exec", container, "sh", "-c", "echo $TASKMANAGER_COMMIT")
        return self._engine.output(*words)


def _only(generation: Generation, folder: Path) -> Path:
    """A folder of programs in which compose is of one generation, whatever else this machine has."""
    folder.mkdir()
    [*docker, compose] = compose_v1() if generation == "1.29" else compose_v2()
    if not docker:
        (folder / "docker-compose").symlink_to(compose)
        no_plugin = f'#!/bin/sh\n[ "$1" = compose ] && exit 1\nexec {shutil.which("docker")} "$@"\n'
        (folder / "docker").write_text(no_plugin)
        (folder / "docker").chmod(0o755)
    return folder
