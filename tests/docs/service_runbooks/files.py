"""The reviewed files of Prometheus and Alertmanager, with a scene's addresses in place of the compose file's names."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.processes import ROOT

RULES = Path("ops") / "prometheus" / "rules"
ALERTMANAGER = Path("ops") / "alertmanager" / "alertmanager.yml"
PROMETHEUS = Path("prometheus.yml")
# What prometheus.yml names beside its rules.
KEYS = Path("ops") / "development"

_SOMEBODY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")


@dataclass(frozen=True)
class Ports:
    """Where each part of a scene listens."""

    service: int
    replica: int
    prometheus: int
    alertmanager: int
    incidents: int
    backups: int

    @classmethod
    def free(cls) -> Self:
        return cls(*(_quiet_port() for _ in range(6)))


def _quiet_port() -> int:
    """A free port that no system hands out by itself: runbooks end whoever listens at a scene's port."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def write_reviewed(folder: Path, ports: Ports, targets: Sequence[int]) -> None:
    """Write prometheus.yml and ops/ into a folder and commit them; `targets` are the ports of the replicas."""
    incidents = f"127.0.0.1:{ports.incidents}"
    addresses = {
        "app:8000": '", "'.join(f"127.0.0.1:{port}" for port in targets),
        "incidents:9095": incidents,
        "localhost:9090": f"127.0.0.1:{ports.prometheus}",
        "alertmanager:9093": f"127.0.0.1:{ports.alertmanager}",
        "backup:9096": f"127.0.0.1:{ports.backups}",
    }
    for name in (RULES, ALERTMANAGER.parent, KEYS):
        shutil.copytree(ROOT / name, folder / name)
    _copy(PROMETHEUS, folder, addresses)
    _copy(ALERTMANAGER, folder, {"incidents:9095": incidents})
    for command in (("init", "-q"), ("add", "prometheus.yml", "ops"), (*_SOMEBODY, "commit", "-qm", "Reviewed")):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


def edit(file: Path, before: str, after: str) -> None:
    """Change a file as somebody in a hurry does."""
    text = file.read_text(encoding="utf-8")
    assert before in text, f"{file.name} holds no {before!r}"
    file.write_text(text.replace(before, after), encoding="utf-8")


def _copy(name: Path, folder: Path, addresses: dict[str, str]) -> None:
    shutil.copyfile(ROOT / name, folder / name)
    for documented, real in addresses.items():
        edit(folder / name, documented, real)
