"""The files that checks look at: what git keeps or would keep, found by name, so that a new one is checked at once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent.parent

# What the tests build is no image of the product's: the exercise's own, word for word, and stand-ins.
OF_TESTS = "tests/"

_DOCKERFILE = re.compile(r"Dockerfile(\..+)?|.+\.Dockerfile")
_SHELL = re.compile(rb"^#!\s*/(usr/)?bin/(env\s+)?(ba|da)?sh\b")


def kept() -> list[str]:
    """All paths that git keeps or, once added, would keep, relative to ROOT.

    Raises
    ------
    subprocess.CalledProcessError: ROOT is no work tree of git.
    """
    listed = subprocess.run(
        ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"),
        check=True,
        capture_output=True,
        text=True,
    )
    # One that was deleted and not yet committed is still listed.
    return [path for path in sorted(listed.stdout.split("\0")) if path and (ROOT / path).is_file()]


def _matching(pattern: str) -> list[str]:
    return [path for path in kept() if PurePosixPath("/", path).match(f"/{pattern}")]


def dockerfiles() -> list[str]:
    named = [path for path in kept() if _DOCKERFILE.fullmatch(PurePosixPath(path).name)]
    return [path for path in named if not path.startswith(OF_TESTS)]


def shell_scripts() -> list[str]:
    """Those named *.sh, and those without an ending whose first line names a shell."""
    return [path for path in kept() if path.endswith(".sh") or (not Path(path).suffix and _names_a_shell(path))]


def _names_a_shell(path: str) -> bool:
    with (ROOT / path).open("rb") as file:
        return _SHELL.match(file.read(64)) is not None


def workflows() -> list[str]:
    return _matching(".github/workflows/*.yml")


def dependabot() -> list[str]:
    return _matching(".github/dependabot.yml")


def compose_files() -> list[str]:
    """The base file and its overlays."""
    return _matching("docker-compose.yml") + _matching("docker/compose.*.yml")


def requirements() -> list[str]:
    """The locked lists of packages."""
    return _matching("requirements*.txt") + _matching("benchmarks/requirements*.txt")
