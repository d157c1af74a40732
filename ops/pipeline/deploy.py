"""Have a host run an image: one command, by ssh, to the host's checkout of this repository.

The image is named by its digest, so that what runs is what was tested, whoever moves a tag meanwhile. Who the host is
must be known already (known_hosts): asking it who it is would trust whoever answers.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass

# For either version of compose, whichever the host has; TASKMANAGER_IMAGE is set.
COMMAND = (
    'if command -v docker-compose >/dev/null; then compose=docker-compose; else compose="docker compose"; fi;'
    " $compose -f docker-compose.yml -f docker/compose.production.yml pull"
    " && $compose -f docker-compose.yml -f docker/compose.production.yml up -d --no-build"
)
_BY_DIGEST = re.compile(r"^[\w.:/-]+@sha256:[0-9a-f]{64}$")
# Neither asks for a password, nor believes a host that it does not know.
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15")


class DeployError(Exception):
    """It was not deployed, or the host's command failed; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """Where it goes.

    Parameters
    ----------
    host: as ssh takes it.
    folder: the checkout there, with the secrets of that host.
    command: what is run in it by sh, with TASKMANAGER_IMAGE set.
    repository: the only one whose images it takes; None: any.
    """

    host: str
    folder: str = "taskmanager-api"
    command: str = COMMAND
    repository: str | None = None


def remote_command(target: Target, image: str) -> str:
    """What the host's shell is told.

    Raises
    ------
    DeployError: the image is not named by a digest, or is of another repository.
    """
    if not _BY_DIGEST.match(image):
        raise DeployError(f"{image!r} names no digest: deploy what was pushed, as in somebody/taskmanager-api@sha256:…")
    if target.repository and not image.startswith(f"{target.repository}@"):
        # Whoever may start a deployment by hand types this: somebody else's image would run with the host's secrets.
        raise DeployError(f"{image!r} is none of {target.repository}, where this project's images are")
    return (
        f"cd {shlex.quote(target.folder)} && export TASKMANAGER_IMAGE={shlex.quote(image)} && {{ {target.command}; }}"
    )


def deploy(target: Target, image: str) -> None:
    """Run the command there, its words on this terminal.

    Raises
    ------
    DeployError: see there.
    """
    done = subprocess.run((*_SSH, target.host, "--", remote_command(target, image)), check=False)
    if done.returncode == 255:
        raise DeployError(
            f"ssh did not reach {target.host}, or did not know it:"
            " its key must be in known_hosts, and ours be let in there"
        )
    if done.returncode != 0:
        raise DeployError(
            f"the command on {target.host} ended with {done.returncode}: what runs there may be old or new"
        )
