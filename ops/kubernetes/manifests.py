"""Hold the manifests against Kubernetes' own schemas, and what operators bring against theirs.

    python -m ops.kubernetes.manifests
    python -m ops.kubernetes.manifests --crds crds.yaml --rendered

It needs no cluster. Kubernetes' kinds are held against the schemas of one version, strictly: a field that is not known
is a fault. The kinds of operators have their schemas in the operators' CustomResourceDefinitions, which are not kept
here; `kubectl get crds --output yaml` prints those of a cluster. Without them their fields are looked up in a list
(`known_fields`), and no value is judged.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from ops.kubernetes import custom_resources, known_fields

FOLDER = Path(__file__).resolve().parent
VERSION = "1.37"

# What `kubectl apply -k` is given.
APPLIED = ("base", "monitoring", "overlays/cloudnative-pg")

_KUSTOMIZATION = "kustomization.yaml"


@dataclass(frozen=True)
class Manifest:
    """One document, and where it stands."""

    place: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        return str(self.content["metadata"]["name"])

    @property
    def custom(self) -> bool:
        """Whether an operator brings its kind: whose groups are names of domains that are not Kubernetes' own."""
        group, slash, _ = str(self.content["apiVersion"]).partition("/")
        return bool(slash) and "." in group and not group.endswith(".k8s.io")


def read(text: str, place: str) -> list[Manifest]:
    """The documents of a text."""
    return [Manifest(place, document) for document in yaml.safe_load_all(text) if document]


def plain(folder: Path = FOLDER) -> list[Manifest]:
    """Every document as it stands in its file, which needs no kubectl. Patches and kustomizations are none."""
    found: list[Manifest] = []
    for file in sorted(folder.rglob("*.yaml")):
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        if file.name != _KUSTOMIZATION and all(isinstance(document, dict) for document in documents):
            found += [Manifest(str(file.relative_to(folder)), document) for document in documents]
    return found


def rendered(folder: Path, kubectl: str = "kubectl") -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder.

    Raises
    ------
    FileNotFoundError: there is no kubectl.
    ValueError: it refuses the folder, in its own words.
    """
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise ValueError(f"{folder}: {done.stderr.strip()}")
    return read(done.stdout, str(folder.name))


def faults(manifests: Iterable[Manifest], definitions: custom_resources.Definitions | None = None) -> Iterator[str]:
    """A line for everything that no cluster of this version would take.

    Parameters
    ----------
    definitions: the operators' own; without them only the names of their fields are looked at.
    """
    for manifest in manifests:
        place = f"{manifest.place}: {manifest.kind} {manifest.name}"
        if not manifest.custom:
            yield from (f"{place}: {fault}" for fault in _core_faults(manifest.content))
        elif definitions is not None:
            yield from (f"{place}: {fault}" for fault in custom_resources.faults(manifest.content, definitions))
        else:
            yield from (f"{place}: {fault}" for fault in known_fields.faults(manifest.content))


def _core_faults(content: dict[str, Any]) -> Iterator[str]:
    try:
        kubernetes_validate.validate(content, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path)) or 'the whole'}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"Kubernetes {VERSION} has no kind {content['kind']} in {content['apiVersion']}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.kubernetes.manifests",
        description=(__doc__ or "").split("\n")[0],
        epilog="exit status: 0 nothing is wrong, 1 a fault that is named, 2 wrong usage",
    )
    parser.add_argument("--crds", metavar="FILE", type=Path, nargs="+", help="the operators' CustomResourceDefinitions")
    parser.add_argument("--rendered", action="store_true", help="also what `kubectl kustomize` makes of the folders")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the manifests are (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        definitions = custom_resources.definitions(options.crds) if options.crds else None
        manifests = plain(options.folder)
        if options.rendered:
            manifests += [each for name in APPLIED for each in rendered(options.folder / name)]
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = list(faults(manifests, definitions))
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
