"""Give the tested image the version's names, and bring it to the registry.

What is pushed is the image that was built and scanned, and no second build of it; what is deployed later is named by
the digest that the registry answers with.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

_VERSION = re.compile(r"^v?(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)(?P<before>-[0-9A-Za-z.-]+)?$")
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


class PushError(Exception):
    """It was not pushed, or not everything of it; the message says what and what to do."""


def tags(version: str) -> list[str]:
    """The names of a version: v1.2.3 is 1.2.3, 1.2 and latest; what comes before a release is itself alone.

    Raises
    ------
    PushError: it is no version.
    """
    match = _VERSION.match(version)
    if match is None:
        raise PushError(f"{version!r} is no version: name one as in v1.2.3, or v1.2.3-rc.1")
    whole = f"{match['major']}.{match['minor']}.{match['patch']}{match['before'] or ''}"
    return [whole] if match["before"] else [whole, f"{match['major']}.{match['minor']}", "latest"]


def push(image: str, repository: str, version: str, say: Callable[[str], None]) -> str:
    """Push an image of this engine under all of the version's names, and return its digest.

    Raises
    ------
    PushError: see there.
    """
    digests = set()
    for tag in tags(version):
        name = f"{repository}:{tag}"
        _docker("tag", image, name)
        say(f"pushing {name}")
        told = _docker("push", name)
        found = _DIGEST.search(told)
        if found is None:
            raise PushError(f"the registry named no digest of {name}; docker said: {told.strip().splitlines()[-1]}")
        digests.add(found[1])
    if len(digests) != 1:
        raise PushError(f"the names of {version} are not one image: {', '.join(sorted(digests))}; push them again")
    return digests.pop()


def hand_on(path: Path, repository: str, digest: str) -> None:
    """Write what a workflow's next jobs need into the file that it names for that."""
    with path.open("a", encoding="utf-8") as outputs:
        outputs.write(f"digest={digest}\nimage={repository}@{digest}\n")


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode != 0:
        raise PushError(f"docker {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
