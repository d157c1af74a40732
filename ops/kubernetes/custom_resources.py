"""The kinds that operators bring, held against the schemas in their CustomResourceDefinitions.

Strictly: the cluster would drop a field that is not known, with a warning at most, and go on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

Definitions = Mapping[tuple[str, str], dict[str, Any]]
"""By `apiVersion` and `kind`, as JSON Schema."""

_INT_OR_STRING = "x-kubernetes-int-or-string"
_OPEN = "x-kubernetes-preserve-unknown-fields"


def definitions(files: Iterable[Path]) -> Definitions:
    """The schemas of every version of every kind in the files.

    Raises
    ------
    OSError: a file cannot be read.
    ValueError: none of them holds a definition.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in files:
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            for definition in (document or {}).get("items", [document]):
                if definition and definition.get("kind") == "CustomResourceDefinition":
                    found |= _versions(definition["spec"])
    if not found:
        raise ValueError("there is no CustomResourceDefinition in these files")
    return found


def _versions(spec: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): _strict(version["schema"]["openAPIV3Schema"])
        for version in spec["versions"]
    }


def _strict(schema: dict[str, Any], *, root: bool = True) -> dict[str, Any]:
    """OpenAPI as Kubernetes writes it, as JSON Schema that knows no further fields."""
    made = {name: value for name, value in schema.items() if name not in {"nullable", "default", "format"}}
    if schema.get(_INT_OR_STRING):
        made.pop("type", None)
        made["type"] = ["integer", "string"]
    if "properties" in schema:
        made["properties"] = {name: _strict(each, root=False) for name, each in schema["properties"].items()}
        if root:  # the cluster's own, which no definition describes
            made["properties"]["metadata"] = {"type": "object"}
        if "additionalProperties" not in schema and not schema.get(_OPEN):
            made["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            made[name] = _strict(schema[name], root=False)
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def faults(content: dict[str, Any], definitions: Definitions) -> Iterator[str]:
    """What its definition says against a resource. The rules in CEL, which only a cluster evaluates, are not asked."""
    schema = definitions.get((content["apiVersion"], content["kind"]))
    if schema is None:
        yield f"no definition of {content['kind']} in {content['apiVersion']} was given"
        return
    for error in jsonschema_rs.validator_for(schema).iter_errors(content):
        yield f"{'.'.join(map(str, error.instance_path)) or 'the whole'}: {error.message}"
