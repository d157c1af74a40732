"""A pod's container as a process of this machine: its variables, its secrets as files, its probes, its end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kubernetes.manifest_files import container, environment
from tests.processes import ROOT, Service


class SecretVolume:
    """A Secret as the kubelet mounts it: links to a folder that a link names, which is exchanged as a whole."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._generation = 0
        self._put(files)
        for name in files:
            (folder / name).symlink_to(Path("..data", name))

    def replace(self, files: Mapping[str, str]) -> None:
        self._put(files)

    def _put(self, files: Mapping[str, str]) -> None:
        self._generation += 1
        data = self.folder / f"..generation_{self._generation}"
        data.mkdir()
        for name, text in files.items():
            (data / name).write_text(text)
        (self.folder / "..data_tmp").symlink_to(data.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")


class Secrets:
    """The Secrets of a namespace, mounted below one folder at the places where a pod mounts them.

    Parameters
    ----------
    content: by the Secret's name, its keys and their values.
    """

    def __init__(self, folder: Path, pod: dict[str, Any], content: Mapping[str, Mapping[str, str]]) -> None:
        self.folder = folder
        named = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        self.volumes = {
            named[mount["name"]]: SecretVolume(folder / mount["mountPath"].lstrip("/"), content[named[mount["name"]]])
            for mount in container(pod)["volumeMounts"]
            if mount["name"] in named
        }

    def environment(self, pod: dict[str, Any]) -> dict[str, str]:
        """The pod's variables, with the places of files below the folder, and nothing of this machine's `.env`."""
        told = {
            name: f"{self.folder}{value}" if value.startswith("/run/secrets/") else value
            for name, value in environment(pod).items()
        }
        return told | {"TASKMANAGER_ENV_FILE": ""}  # as in the image


class ServingPod:
    """A pod of the Deployment, whose container is `taskmanager serve` on a free port."""

    def __init__(self, pod: dict[str, Any], secrets: Secrets, folder: Path) -> None:
        self._pod = pod
        self.deleted_at: float | None = None
        assert container(pod)["args"] == ["serve"]
        folder.mkdir()
        self.service = Service(secrets.environment(pod), folder, cwd=ROOT)

    @property
    def pre_stop_s(self) -> float:
        lifecycle = container(self._pod).get("lifecycle")
        return float(lifecycle["preStop"]["sleep"]["seconds"]) if lifecycle else 0.0

    def probe(self, name: str) -> int:
        """What the probe of that name is answered."""
        return self.service.get(container(self._pod)[name]["httpGet"]["path"]).status_code

    def ready(self, within_s: float) -> None:
        self.service.wait_for(container(self._pod)["readinessProbe"]["httpGet"]["path"], 200, within_s)

    def delete(self) -> float:
        """What the kubelet does: the hook first, then SIGTERM, then patience. The seconds until the process had ended.

        Raises
        ------
        subprocess.TimeoutExpired: it would have been killed.
        """
        began = time.monotonic()
        time.sleep(self.pre_stop_s)
        self.service.process.send_signal(signal.SIGTERM)
        left = self._pod["terminationGracePeriodSeconds"] - (time.monotonic() - began)
        assert self.service.process.wait(timeout=left) == 0, self.service.log
        return time.monotonic() - began

    def __enter__(self) -> ServingPod:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.__exit__(None, None, None)


def job_command(pod: dict[str, Any]) -> tuple[str, ...]:
    """What the image's start.sh makes of the role `migrate`."""
    assert container(pod)["args"] == ["migrate"]
    return (sys.executable, "-m", "taskmanager", "migrate")
