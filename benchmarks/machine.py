"""What the figures were taken on: without it they mean nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import environments, programs
from benchmarks.failures import BenchmarkError
from benchmarks.table import ROOT
from stack.postgres import Cluster

_OURS = ("fastapi", "starlette", "asyncpg", "pydantic", "uvicorn", "uvloop", "httptools")
_PEERS = ("fastapi", "sqlalchemy", "psycopg2-binary", "asyncpg", "litestar", "msgspec", "uvicorn", "uvloop")


@dataclass(frozen=True)
class Machine:
    """The machine; memory in bytes, and the load average of the last minute when the run began."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    system: str
    load_average: float


def describe_machine() -> Machine:
    """This machine, now."""
    return Machine(
        processor=_processor(),
        cores=len(psutil.Process().cpu_affinity() or []) or os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        system=_system(),
        load_average=round(os.getloadavg()[0], 2),
    )


def versions(cluster: Cluster) -> dict[str, str]:
    """Of everything that took part, by name; what is not here is told as missing."""
    told = {
        "python": platform.python_version(),
        "postgresql": cluster.binaries.version,
        "wrk": _told(lambda: programs.version(programs.wrk(), "-v")),
        "pgbench": _told(lambda: programs.version(programs.pgbench(cluster.binaries.folder))),
        "node": _told(lambda: programs.version(programs.node())),
    }
    told |= {f"service: {name}": importlib.metadata.version(name) for name in _OURS}
    locked = environments.python_versions()
    told |= {f"peers: {name}": locked.get(name, "unknown") for name in _PEERS}
    return told | {f"peers: {name}": version for name, version in environments.node_versions().items()}


def commit() -> str:
    """The commit that is checked out, and whether the tree differs from it."""
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head} with changes" if _git("status", "--porcelain") else head
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def _told(version: Callable[[], str]) -> str:
    try:
        return version()
    except BenchmarkError:
        return "missing"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
