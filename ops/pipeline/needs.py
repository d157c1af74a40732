"""What a check or a step needs before it can look. Each says what is lacking and how to get it, or nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

Need = Callable[[], str | None]


def program(name: str, how: str) -> Need:
    return lambda: None if shutil.which(name) else f"{name} is not installed: {how}"


def variable(name: str, meaning: str) -> Need:
    """An environment variable that is set and not empty; `meaning` follows its name in the sentence."""
    return lambda: None if os.environ.get(name) else f"{name} is not set: {meaning}"


def compose_program() -> tuple[str, ...] | None:
    """`docker-compose`, or Docker's own `compose`; None where there is neither."""
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    if shutil.which("docker") and _ends_well("docker", "compose", "version"):
        return ("docker", "compose")
    return None


def compose() -> str | None:
    return None if compose_program() else "neither docker-compose nor docker compose is installed"


def engine() -> str | None:
    """A Docker engine that answers this user."""
    if shutil.which("docker") is None:
        return "docker is not installed: apt-get install docker.io"
    if not _ends_well("docker", "info"):
        return "no Docker engine answers `docker info`: start one, or let this user speak to it"
    return None


def _ends_well(*command: str) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def first_lacking(needs: tuple[Need, ...]) -> str | None:
    """What the first of these says that is not there."""
    return next((lacking for need in needs if (lacking := need())), None)
