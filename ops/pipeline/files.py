"""The files that checks look at: what git keeps or would keep, found by name, so that a new one is checked at once."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent

# The exercise's own files, word for word: what is unwise in them is what they are there for.
WORD_FOR_WORD = "tests/system/dockerfiles/"

_SHELL = re.compile(rb"^#!\s*/(usr/)?bin/(env\s+)?(ba|da)?sh\b")


@cache
def kept(root: Path = ROOT) -> tuple[str, ...]:
    """All paths that git keeps or, once added, would keep, relative to `root`.

    Raises
    ------
    subprocess.CalledProcessError: `root` is no work tree of git.
    """
    listed = subprocess.run(
        ("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"),
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(path for path in sorted(listed.stdout.split("\0")) if path and (root / path).is_file())


def dockerfiles(root: Path = ROOT) -> list[str]:
    return [
        path
        for path in kept(root)
        if PurePosixPath(path).name.startswith("Dockerfile") and not path.startswith(WORD_FOR_WORD)
    ]


def shell_scripts(root: Path = ROOT) -> list[str]:
    """Those named *.sh, and those whose first line names a shell."""
    return [
        path for path in kept(root) if path.endswith(".sh") or ("." not in Path(path).name and _is_shell(root, path))
    ]


def _is_shell(root: Path, path: str) -> bool:
    with (root / path).open("rb") as file:
        return _SHELL.match(file.read(64)) is not None


def workflows(root: Path = ROOT) -> list[str]:
    return [path for path in kept(root) if PurePosixPath(path).match(".github/workflows/*.yml")]


def dependabot(root: Path = ROOT) -> list[str]:
    return [path for path in kept(root) if path == ".github/dependabot.yml"]


def compose_files(root: Path = ROOT) -> list[str]:
    """The base file and its overlays."""
    return [
        path for path in kept(root) if path == "docker-compose.yml" or PurePosixPath(path).match("docker/compose.*.yml")
    ]


def rule_files(root: Path = ROOT) -> list[str]:
    return [path for path in kept(root) if PurePosixPath(path).match("ops/prometheus/rules/*.yml")]


def requirements(root: Path = ROOT) -> list[str]:
    """The locked lists of packages."""
    return [path for path in kept(root) if re.fullmatch(r"(benchmarks/)?requirements[\w-]*\.txt", path)]
