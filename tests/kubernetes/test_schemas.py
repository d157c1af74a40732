"""Every manifest is one that Kubernetes knows, as it stands in its file and as kubectl renders it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.kubernetes import custom_resources, manifests
from ops.kubernetes.manifests import APPLIED, FOLDER, Manifest
from tests.kubernetes.manifest_files import kubectl, rendered

# As small as a definition can be.
_DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  group: postgresql.cnpg.io
  names: {kind: Cluster}
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              properties:
                instances: {type: integer, minimum: 1}
                port: {x-kubernetes-int-or-string: true}
                note: {type: string, nullable: true}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                words: {type: object, additionalProperties: {type: string}}
                list: {type: array, items: {type: object, properties: {name: {type: string}}}}
"""


def copy_with(folder: Path, file: str, old: str, new: str) -> Path:
    """The manifests in another folder, one of them changed."""
    shutil.copytree(FOLDER, folder / "kubernetes", ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "kubernetes" / file
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new, 1))
    return folder / "kubernetes"


def test_every_file_stands_the_schemas() -> None:
    plain = manifests.plain()

    assert list(manifests.faults(plain)) == []
    kinds = {manifest.kind for manifest in plain}
    assert {"Namespace", "Job", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds
    assert {"NetworkPolicy", "PrometheusRule", "PodMonitor", "Cluster", "ScheduledBackup", "ObjectStore"} <= kinds


@pytest.mark.parametrize("name", APPLIED)
def test_what_kubectl_makes_of_it_stands_them_too(name: str) -> None:
    assert list(manifests.faults(rendered(name))) == []


def test_every_file_is_in_a_kustomization_or_is_applied_by_itself() -> None:
    resources = {
        str((file.parent / name).resolve())
        for file in FOLDER.rglob("kustomization.yaml")
        for name in yaml.safe_load(file.read_text())["resources"]
    }
    outside = {manifest.place for manifest in manifests.plain() if str(FOLDER / manifest.place) not in resources}

    # `kubectl delete -k` must not take the namespace, and the database's volumes with it.
    assert outside == {"namespace.yaml"}


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("base/taskmanager.yaml", "periodSeconds: 1\n", "periodSecond: 1\n", "'periodSecond' was unexpected"),
        ("base/taskmanager.yaml", "maxSurge: 1", "maxSurge: [1]", "maxSurge"),
        ("base/scaling.yaml", "autoscaling/v2", "autoscaling/v2beta2", "no kind HorizontalPodAutoscaler"),
        ("base/migrate.yaml", "backoffLimit: 8", "backoffLimit: eight", "backoffLimit"),
        ("overlays/cloudnative-pg/database.yaml", "instances: 3", "instanses: 3", "spec.instanses is no field"),
        ("overlays/cloudnative-pg/database.yaml", "number: 1", "count: 1", "spec.postgresql.synchronous.count is no"),
        ("monitoring/pod-monitors.yaml", "scrapeTimeout: 1s", "timeout: 1s", "podMetricsEndpoints.timeout is no"),
        ("monitoring/pod-monitors.yaml", "kind: PodMonitor", "kind: PodMonitors", "no kind that is known here"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, told: str
) -> None:
    folder = copy_with(tmp_path, file, old, new)

    assert manifests.main(["--folder", str(folder)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.startswith(file)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"instances": 3, "port": "http", "note": None, "free": {"a": 1}, "words": {"b": "c"}}, None),
        ({"instances": 0}, "spec.instances"),
        ({"instances": "3"}, "spec.instances"),
        ({"instanses": 3}, "instanses"),
        ({"port": True}, "spec.port"),
        ({"words": {"b": 1}}, "spec.words.b"),
        ({"list": [{"name": "a"}, {"nam": "a"}]}, "spec.list.1"),
    ],
)
def test_an_operators_kind_is_held_against_its_definition(
    tmp_path: Path, spec: dict[str, Any], told: str | None
) -> None:
    (tmp_path / "crds.yaml").write_text(_DEFINITION)
    definitions = custom_resources.definitions([tmp_path / "crds.yaml"])
    content = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "x"}, "spec": spec}

    found = list(manifests.faults([Manifest("here", content)], definitions))

    assert found == [] if told is None else len(found) == 1 and told in found[0]


def test_without_the_definition_of_a_kind_nothing_is_called_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crds.yaml").write_text(_DEFINITION)
    (tmp_path / "empty.yaml").write_text("kind: List\nitems: []\n")

    assert manifests.main(["--crds", str(tmp_path / "crds.yaml")]) == 1
    assert "no definition of PodMonitor" in capsys.readouterr().err
    assert manifests.main(["--crds", str(tmp_path / "empty.yaml")]) == 1
    assert "no CustomResourceDefinition" in capsys.readouterr().err


def test_a_folder_that_kubectl_refuses_is_told_in_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl()
    folder = copy_with(tmp_path, "base/kustomization.yaml", "- scaling.yaml", "- scale.yaml")

    assert manifests.main(["--folder", str(folder), "--rendered"]) == 1
    assert "scale.yaml" in capsys.readouterr().err
