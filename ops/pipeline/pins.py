"""Every action that a workflow uses is named by a commit, and the release of that commit stands beside it.

A tag can be moved to other code by whoever takes the action's repository over; a commit cannot. The release is for
people, and for Dependabot, which moves both together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_USES = re.compile(r"^\s*(?:-\s+)?uses:\s*[\"']?(?P<action>[^\s\"'#]+)[\"']?\s*(?:#\s*(?P<release>.*))?$")
_PINNED = re.compile(r"^[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}$")
_RELEASE = re.compile(r"^v\d+\.\d+\.\d+$")


def complaints(text: str, name: str) -> list[str]:
    """What is wrong with the actions of a workflow, a sentence each.

    Parameters
    ----------
    text: the workflow, as it stands in the file.
    name: what the sentences call it.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _USES.match(line)
        if match is None or match["action"].startswith("./"):
            continue
        if not _PINNED.match(match["action"]):
            found.append(f"{name}:{number}: {match['action']} is not named by a commit of 40 hexadecimal digits")
        elif not _RELEASE.match((match["release"] or "").strip()):
            found.append(f"{name}:{number}: name the commit's release behind it, as in: {match['action']} # v1.2.3")
    return found


def complaints_of(paths: Iterable[Path]) -> list[str]:
    """The same of files."""
    return [each for path in paths for each in complaints(path.read_text(encoding="utf-8"), str(path))]
