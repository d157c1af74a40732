"""The compose files: as YAML, and as both generations of compose understand them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.containers.compose_programs import compose_v1, compose_v2
from tests.containers.engine import EngineLacking
from tests.processes import ROOT, lacking

Json = dict[str, Any]

BASE = "docker-compose.yml"
PRODUCTION = "docker/compose.production.yml"
REPLICAS = "docker/compose.replicas.yml"
PRODUCTION_REPLICAS = "docker/compose.production.replicas.yml"
ALL = (BASE, PRODUCTION, REPLICAS, PRODUCTION_REPLICAS)

VERSIONS = {"1.29": compose_v1, "2": compose_v2}

# For whom a variable must have some value.
RELEASE = {"TASKMANAGER_IMAGE": "registry.example.com/taskmanager-api:1.4.0"}


def parsed(name: str = BASE) -> Json:
    """One file by itself, its anchors resolved and its variables left as they stand."""
    content: Json = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return content


@cache
def program(version: str) -> tuple[str, ...]:
    """The command of a generation of compose; without it the test is skipped, or fails where everything is required."""
    try:
        return tuple(VERSIONS[version]())
    except EngineLacking as missing:
        lacking(f"compose {version}", str(missing))


def config(
    version: str, *files: str, folder: Path = ROOT, environment: Mapping[str, str] = RELEASE
) -> subprocess.CompletedProcess[str]:
    """Run `docker-compose -f … config` with these variables and none of the caller's."""
    names = [part for file in files for part in ("-f", file)]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # Every profile, so that nothing stays unseen; 1.29 shows all of itself.
    return subprocess.run(
        [*program(version), *names, "config"],
        env=kept | {"COMPOSE_PROFILES": "single,spare,sentry"} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def merged(version: str, *files: str) -> Json:
    """What these files mean together, by the word of compose itself."""
    done = config(version, *files)
    assert done.returncode == 0, done.stderr
    content: Json = yaml.safe_load(done.stdout)
    return content
