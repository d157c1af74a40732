"""The manifests as a cluster would get them, and single ones of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ops.kubernetes import manifests
from ops.kubernetes.manifests import FOLDER, Manifest
from tests.processes import lacking

BASE = "base"
MONITORING = "monitoring"
CLOUDNATIVE_PG = "overlays/cloudnative-pg"


def kubectl() -> str:
    """kubectl; without it the test is skipped, or fails where everything is required."""
    found = shutil.which("kubectl")
    if found is None:
        lacking("kubectl", "install Debian's package kubectl (trixie's runs on bookworm too)")
    return found


@cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """What `kubectl apply -k` would send for one of our folders."""
    return tuple(manifests.rendered(FOLDER / name, kubectl()))


def rendered_folder(folder: Path) -> list[Manifest]:
    return manifests.rendered(folder, kubectl())


def the(found: Iterable[Manifest], kind: str, name: str) -> dict[str, Any]:
    """The one of this kind and name."""
    (one,) = [manifest.content for manifest in found if (manifest.kind, manifest.name) == (kind, name)]
    return one


def pod_specs(found: Iterable[Manifest]) -> dict[str, dict[str, Any]]:
    """By kind and name, the pods of everything that starts pods of ours."""
    return {
        f"{manifest.kind} {manifest.name}": manifest.content["spec"]["template"]["spec"]
        for manifest in found
        if manifest.kind in {"Deployment", "Job", "StatefulSet", "DaemonSet"}
    }


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its only container."""
    (one,) = pod["containers"]
    content: dict[str, Any] = one
    return content


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """The variables of its container, all of which are written out."""
    return {variable["name"]: variable["value"] for variable in container(pod).get("env", [])}
