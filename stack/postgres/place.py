"""Which folder holds a cluster: the one asked for, or one outside that PostgreSQL's account can enter."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.folders import ANOTHER_FOLDER, prepare_folder
from stack.identity import Identity, unprivileged_identity

OUTSIDE = Path("/var/lib/taskmanager-api")
PGDATA = "postgres"


@dataclass(frozen=True)
class Place:
    """`folder` holds the cluster and what belongs to it; `run_as` is None for the launcher's account."""

    folder: Path
    run_as: Identity | None

    @property
    def pgdata(self) -> Path:
        return self.folder / PGDATA


def choose_place(asked: Path, outside: Path) -> Place:
    """The folder asked for unless root starts PostgreSQL there and its account cannot enter it.

    Then a folder under `outside`, named after the path asked for, so that each clone has its own. No
    permission of a folder that was there before is changed.

    Raises StackError when no folder can be made, or existing data are out of the account's reach.
    """
    prepare_folder(asked)
    elsewhere = outside / hashlib.sha256(str(asked).encode()).hexdigest()[:12]
    inside_exists = (asked / PGDATA).exists()
    identity = unprivileged_identity(asked / PGDATA if inside_exists else elsewhere / PGDATA)
    if identity is None:
        return Place(asked, None)
    reachable = identity.can_enter(asked)
    if inside_exists and not reachable:
        raise StackError(
            f"the account `{identity.name}`, which owns {asked / PGDATA}, cannot enter {asked}: "
            f"let it pass (chmod o+x on each folder above), or {ANOTHER_FOLDER}"
        )
    if inside_exists or (reachable and not (elsewhere / PGDATA).exists()):
        return Place(asked, identity)
    for folder in (outside, elsewhere):
        prepare_folder(folder)
    return Place(elsewhere, identity)
