"""The commands of docs/kubernetes.md that need no cluster are typed, and what they make is what the pods need."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ops.kubernetes.manifests import plain
from taskmanager.settings import load_settings
from tests.kubernetes.manifest_files import kubectl, pod_specs
from tests.processes import ROOT, lacking

PAGES = {"en": ROOT / "docs/kubernetes.md", "fr": ROOT / "docs/fr/kubernetes.md"}


def blocks(language: str, kind: str = "sh") -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGES[language].read_text(), re.S)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first block was typed."""
    folder = tmp_path_factory.mktemp("page")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    done = subprocess.run(["sh", "-euc", blocks("en")[0]], cwd=folder, capture_output=True, text=True, check=False)
    if "openssl: not found" in done.stderr:
        lacking("openssl", "install the package openssl")
    assert done.returncode == 0, done.stderr
    return folder


def made_secrets(folder: Path) -> dict[str, dict[str, str]]:
    """What the second block's commands would send to a cluster, by the Secret's name."""
    commands = blocks("en")[1].replace("\\\n", " ").splitlines()
    found = {}
    for command in commands:
        if " create secret " not in command:
            continue
        typed = command.replace("kubectl", kubectl(), 1) + " --dry-run=client --output=yaml"
        done = subprocess.run(["sh", "-euc", typed], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        secret = yaml.safe_load(done.stdout)
        found[secret["metadata"]["name"]] = {
            name: base64.b64decode(value).decode() for name, value in secret["data"].items()
        }
    return found


def test_the_secrets_are_those_that_the_pods_mount(secrets: Path) -> None:
    made = made_secrets(secrets)
    wanted = {
        (volume["secret"]["secretName"], item["key"])
        for pod in pod_specs(plain()).values()
        for volume in pod["volumes"]
        if "secret" in volume
        for item in volume["secret"].get("items", [{"key": "keys"}])
    }
    # The operator makes this one, or whoever has a PostgreSQL of their own, as the page says.
    wanted.discard(("taskmanager-db-ca", "ca.crt"))
    monitored = {
        tuple(endpoint["authorization"]["credentials"][name] for name in ("name", "key"))
        for manifest in plain()
        if manifest.kind == "PodMonitor"
        for endpoint in manifest.content["spec"]["podMetricsEndpoints"]
        if "authorization" in endpoint
    }

    assert wanted | monitored <= {(name, key) for name, keys in made.items() for key in keys}
    for role in ("taskmanager-app", "taskmanager-migrator"):
        assert {"username", "password"} < set(made[role])
        assert f"{made[role]['username']}:{made[role]['password']}@taskmanager-db-rw" in made[role]["url"]
    # A newline would be part of the token that Prometheus shows.
    assert made["taskmanager-metrics-key"]["key"].strip() == made["taskmanager-metrics-key"]["key"] != ""


def test_what_they_hold_is_safe_enough_for_production(secrets: Path) -> None:
    folder = secrets / "secrets"

    settings = load_settings(
        {
            "TASKMANAGER_ENV_FILE": "",
            "TASKMANAGER_ENV": "production",
            "DATABASE_URL_FILE": str(folder / "app/url"),
            "MIGRATION_DATABASE_URL_FILE": str(folder / "migrator/url"),
            "TASKMANAGER_KEYS_FILE": str(folder / "keys/keys"),
        }
    )

    assert settings.violations() == []
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.rglob("*"))


def test_both_languages_have_the_same_commands() -> None:
    for kind in ("sh", "yaml"):
        assert blocks("fr", kind) == blocks("en", kind)


def test_the_manifests_that_the_page_names_are_there() -> None:
    for page in PAGES.values():
        for name in re.findall(r"(ops/kubernetes(?:/[\w.-]+)*)", page.read_text()):
            assert (ROOT / name).exists(), name
