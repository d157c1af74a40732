"""Whoever deploys names a release once, in a kustomization of theirs, and the job of that release has its name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from ops.kubernetes.manifests import FOLDER
from tests.kubernetes.manifest_files import container, pod_specs, rendered_folder
from tests.processes import ROOT


def kustomization_of_the_page() -> str:
    (found,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", (ROOT / "docs/kubernetes.md").read_text(), re.S)
    return found


def deployed(folder: Path, kustomization: str) -> dict[str, dict[str, object]]:
    """What comes of a kustomization beside ours, as the page says to write one."""
    shutil.copytree(FOLDER, folder / "ops/kubernetes", ignore=shutil.ignore_patterns("__pycache__"))
    own = folder / "deploy"
    own.mkdir()
    (own / "kustomization.yaml").write_text(kustomization)
    return pod_specs(rendered_folder(own))


@pytest.mark.parametrize(
    ("image", "tag", "job"),
    [
        ("registry.example.com/team/taskmanager-api", "1.4.2", "taskmanager-migrate-1.4.2"),
        ("registry.example.com:5000/taskmanager-api", "1.4.2-rc1", "taskmanager-migrate-1.4.2-rc1"),
    ],
)
def test_a_release_is_named_once(tmp_path: Path, image: str, tag: str, job: str) -> None:
    content = yaml.safe_load(kustomization_of_the_page())
    content["images"][0] |= {"newName": image, "newTag": tag}

    pods = deployed(tmp_path, yaml.safe_dump(content))

    assert {container(pod)["image"] for pod in pods.values()} == {f"{image}:{tag}"}
    assert [name for name in pods if name.startswith("Job ")] == [f"Job {job}"]


def test_two_releases_have_two_jobs_and_one_release_has_one(tmp_path: Path) -> None:
    text = kustomization_of_the_page()
    content = yaml.safe_load(text)
    later = content | {"images": [content["images"][0] | {"newTag": "9.9.9"}]}
    first, again, second = (
        deployed(tmp_path / name, kustomization)
        for name, kustomization in (("first", text), ("again", text), ("second", yaml.safe_dump(later)))
    )

    # A Job cannot be changed: applied again it must be the same, and another release must be another Job.
    assert first == again
    assert not {name for name in first if name.startswith("Job ")} & set(second)
    assert set(first) - set(second) == {name for name in first if name.startswith("Job ")}
