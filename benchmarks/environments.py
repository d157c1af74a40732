"""What the contestants run on, made once: virtual environments and node_modules, each from its lock file."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import programs
from benchmarks.failures import Missing

FOLDER = Path(__file__).parent
PEERS = FOLDER / "peers"
REQUIREMENTS = FOLDER / "requirements.txt"
PYTHON = FOLDER / ".venv" / "bin" / "python"
SERVICE_REQUIREMENTS = FOLDER.parent / "requirements.txt"
SERVICE_PYTHON = FOLDER / ".service-venv" / "bin" / "python"
FASTIFY = PEERS / "fastify"

_INSTALL_S = 600
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ \\;]+)", re.MULTILINE)


def ensure_python() -> Path:
    """The Python of the peers. Raises Missing where their packages cannot be installed."""
    return _or_missing(_python())


def ensure_service_python() -> Path:
    """The Python of this service, with what its image has and nothing of what its developers have. Raises Missing."""
    return _or_missing(_service_python())


def ensure_node() -> Path:
    """Node, with Fastify's packages installed. Raises Missing."""
    return _or_missing(_node())


def _or_missing(found: Path | Missing) -> Path:
    if isinstance(found, Missing):
        raise found
    return found


def _once(make: Callable[[], Path]) -> Callable[[], Path | Missing]:
    """A failure is kept too: waiting for an index out of reach once for each peer and round would take an hour."""

    @functools.cache
    def made() -> Path | Missing:
        try:
            return make()
        except Missing as missing:
            return missing

    return made


@_once
def _python() -> Path:
    return _virtual_environment(PYTHON, REQUIREMENTS, "the peers'")


@_once
def _service_python() -> Path:
    return _virtual_environment(SERVICE_PYTHON, SERVICE_REQUIREMENTS, "this service's")


def _virtual_environment(python: Path, requirements: Path, whose: str) -> Path:
    stamp = python.parents[1] / ".installed"
    if not _is_current(stamp, requirements):
        _run([sys.executable, "-m", "venv", "--clear", python.parents[1]], f"{whose} virtual environment")
        _run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements], f"{whose} packages")
        _mark(stamp, requirements)
    return python


@_once
def _node() -> Path:
    node, lock = programs.node(), FASTIFY / "package-lock.json"
    stamp = FASTIFY / "node_modules" / ".installed"
    if not _is_current(stamp, lock):
        options = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        _run([programs.npm(), "ci", *options], "Fastify's packages", FASTIFY)
        _mark(stamp, lock)
    return node


def python_versions() -> dict[str, str]:
    """The peers' Python packages by name, as locked."""
    return dict(_PINNED.findall(REQUIREMENTS.read_text()))


def node_versions() -> dict[str, str]:
    """Fastify's packages by name, as locked."""
    packages = json.loads((FASTIFY / "package-lock.json").read_text())["packages"]
    return {
        name.removeprefix("node_modules/"): package["version"]
        for name, package in packages.items()
        if name in ("node_modules/fastify", "node_modules/pg")
    }


def _is_current(stamp: Path, lock: Path) -> bool:
    return stamp.is_file() and stamp.read_text() == _digest(lock)


def _mark(stamp: Path, lock: Path) -> None:
    stamp.write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _run(command: list[str | Path], what: str, cwd: Path = FOLDER) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(what, f"`{' '.join(map(str, command))}` said: {said[-1] if said else 'nothing'}")
