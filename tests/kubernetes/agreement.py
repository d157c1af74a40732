"""What a pod says, against what the code does: a line for each thing that would not work or is not safe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from taskmanager.incidents import http_api
from taskmanager.incidents import variables as receiver
from taskmanager.observability import health
from taskmanager.settings import Settings, variable_of
from taskmanager.settings_sources import FILE_SUFFIX
from tests.kubernetes.manifest_files import container, environment

USER = 10001

# By the image's role (start.sh): its port, and the paths that it answers without a key.
_PORTS = {"serve": 8000, "incidents": 9095, "backup": 9096}
_PATHS = {
    "serve": health.PUBLIC_PATHS,
    "incidents": frozenset(http_api._OPEN_PATHS),
    "backup": frozenset({"/livez"}),
}

_SECRETS = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SENTRY_DSN")
_OF_THE_SERVICE = frozenset(map(variable_of, Settings.model_fields)) | {name + FILE_SUFFIX for name in _SECRETS}
_OF_THE_RECEIVER = frozenset(
    {receiver.KEY_FILE, receiver.ALERTMANAGER, receiver.WEBHOOK_URL_FILE, receiver.URL, receiver.KEY}
)
_KNOWN = {
    "serve": _OF_THE_SERVICE,
    "migrate": _OF_THE_SERVICE,
    "incidents": _OF_THE_RECEIVER,
    "backup": _OF_THE_SERVICE | {"TASKMANAGER_BACKUP_FOLDER"},
}
_SECRET_VALUE = re.compile(r"://[^/\s]*:[^/\s]*@")


def role(pod: Mapping[str, Any]) -> str:
    return str(container(dict(pod))["args"][0])


def faults(pod: dict[str, Any]) -> list[str]:
    """All that is wrong with a pod of ours."""
    return [*_unknown_variables(pod), *_missing_files(pod), *_ports_and_probes(pod), *unsafe(pod)]


def _unknown_variables(pod: dict[str, Any]) -> Iterator[str]:
    variables = environment(pod)
    for name in sorted(set(variables) - _KNOWN[role(pod)]):
        yield f"{name}: nothing reads it"
    for name, value in variables.items():
        if _SECRET_VALUE.search(value) or name in _SECRETS:
            yield f"{name}: a secret stands in the manifest"
    if role(pod) == "serve" and variables.get("TASKMANAGER_MIGRATE") != "never":
        yield "TASKMANAGER_MIGRATE: pods migrate, and a job does too"
    if pod.get("enableServiceLinks", True):
        yield "enableServiceLinks: variables made of Services' names would be unknown settings"


def _missing_files(pod: dict[str, Any]) -> Iterator[str]:
    """A file that a variable names lies in a mounted volume, under a name that the volume has."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in container(pod)["volumeMounts"]}
    for mount in container(pod)["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"{mount['name']}: no such volume"
        if "subPath" in mount:
            yield f"{mount['mountPath']}: a file mounted by subPath is never replaced"
    for name, value in environment(pod).items():
        if not name.endswith(FILE_SUFFIX):
            continue
        path = PurePosixPath(value)
        volume = mounts.get(str(path.parent))
        if volume is None:
            yield f"{name}: nothing is mounted at {path.parent}"
        elif (items := volume.get("secret", {}).get("items")) and path.name not in {item["path"] for item in items}:
            yield f"{name}: the volume has no file {path.name}"


def _ports_and_probes(pod: dict[str, Any]) -> Iterator[str]:
    served = _PORTS.get(role(pod))
    ports = {port["name"]: port["containerPort"] for port in container(pod).get("ports", [])}
    if set(ports.values()) != ({served} if served else set()):
        yield f"ports: {sorted(ports.values())}, and the role {role(pod)} listens on {served}"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container(pod).get(name)
        if probe is None:
            continue
        if probe["httpGet"]["port"] not in ports:
            yield f"{name}: no port is called {probe['httpGet']['port']}"
        if probe["httpGet"]["path"] not in _PATHS[role(pod)]:
            yield f"{name}: {probe['httpGet']['path']} is no path that the role {role(pod)} answers without a key"
        if name != "readinessProbe" and probe["httpGet"]["path"] != "/livez":
            yield f"{name}: a restart mends neither the schema nor the database, so only /livez"


def unsafe(pod: dict[str, Any]) -> Iterator[str]:
    """What the restricted Pod Security Standard asks for, and a little more."""
    context = pod.get("securityContext", {})
    own = container(pod).get("securityContext", {})
    both = {**context, **own}
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") != USER or both.get("runAsGroup") != USER:
        yield f"not as the image's user {USER}"
    if both.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "more privileges may be had"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities are kept"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "the root can be written to"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token for the cluster's API is mounted"
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "a namespace of the node is shared"
    resources = container(pod).get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
        yield "resources: requests, or the limit of the memory, are missing"
