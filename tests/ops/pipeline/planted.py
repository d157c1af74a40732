"""A small work tree in which a fault is planted, so that a check can be seen to find it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.processes import ROOT

# What the tools read their settings from.
SETTINGS = ("pyproject.toml", ".hadolint.yaml")


def git(tree: Path, *arguments: str) -> None:
    """Run git there, under a name of its own and blind to whoever runs the tests."""
    name = ("-c", "user.name=planted", "-c", "user.email=planted@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(("git", "-C", str(tree), *name, *arguments), check=True, capture_output=True)


def plant(tree: Path, files: Mapping[str, str]) -> Path:
    """Make `tree` a work tree of git with these files and the project's settings, nothing of it committed."""
    tree.mkdir(parents=True, exist_ok=True)
    if not (tree / ".git").exists():
        git(tree, "init", "--quiet")
    for setting in SETTINGS:
        if (ROOT / setting).exists():
            shutil.copy(ROOT / setting, tree / setting)
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content, encoding="utf-8")
    return tree
