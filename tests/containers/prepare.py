"""The images that the tests run: pulled or stood in for where they are others', else from our own Dockerfiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.containers.compose_programs import compose_v2
from tests.containers.engine import Engine
from tests.containers.stand_ins import provide_images
from tests.processes import ROOT, run

IMAGE = "taskmanager-api:latest"
BROKEN = "taskmanager-api:broken"
BRIEF_BEFORE = "taskmanager-api:brief-before"
BRIEF_AFTER = "taskmanager-api:brief-after"

# Its clients of PostgreSQL speak TLS also where the image of 18 is a stand-in, whose do not.
WITH_TLS = "taskmanager-api:clients-15"

BRIEF_DOCKERFILES = ROOT / "tests" / "system" / "dockerfiles"

DOCKERFILES: dict[str, Path] = {
    BRIEF_BEFORE: BRIEF_DOCKERFILES / "before.Dockerfile",
    BRIEF_AFTER: BRIEF_DOCKERFILES / "after.Dockerfile",
    BROKEN: ROOT / "docker" / "Dockerfile.broken",
    IMAGE: ROOT / "Dockerfile",
    WITH_TLS: ROOT / "Dockerfile",
}

_CLIENTS_15 = ("--build-arg", "POSTGRES_IMAGE=postgres:15-bookworm", "--build-arg", "POSTGRES_MAJOR=15")


def prepare(engine: Engine, say: Callable[[str], None]) -> None:
    """Have every image, those of ours as this tree says now; what did not change comes from the engine's cache.

    Raises EngineLacking and CommandFailed.
    """
    provide_images(engine, say)
    # Now, since the tests run where no network leads to a package.
    say(f"  compose: {' '.join(compose_v2())}")
    engine.use("host")
    for tag, dockerfile in DOCKERFILES.items():
        started = time.monotonic()
        arguments = _arguments(tag)
        identity = engine.build(tag, dockerfile=dockerfile, arguments=arguments)
        short = identity.removeprefix("sha256:")[:12]
        say(f"  built {tag} from {dockerfile.relative_to(ROOT)} in {time.monotonic() - started:.0f} s  {short}")


def _arguments(tag: str) -> tuple[str, ...]:
    commit = ("--build-arg", f"COMMIT={_commit()}")
    return {IMAGE: commit, WITH_TLS: (*_CLIENTS_15, *commit)}.get(tag, ())


def _commit() -> str:
    """What is built is this tree, with or without a commit of its own."""
    return run("git", "rev-parse", "--short", "HEAD").stdout.strip()
