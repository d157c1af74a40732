"""Writing `revisions.lock` from the migration files, and telling when it is out of date.

`alembic revision` runs this through a write hook in alembic.ini, `make check` through
`migration-gate lock --check`.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from types import MappingProxyType

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from migration_gate.errors import RevisionsLockError
from migration_gate.expected import LOCK_FORMAT, LOCK_NAME, REWRITE, Expected, Revision, read_lock

# alembic_version.version_num is VARCHAR(32): a longer id fails at the very end of its upgrade.
LONGEST_REVISION_ID = 32

_HEADER = f"""\
# The revision graph that this code was built with. Written by `alembic revision`; by hand: migration-gate lock
# A conflict here means that two branches each added a migration. Do not settle it line by line: give the
# later migration the earlier one as its down_revision (or run `alembic merge heads`), then: migration-gate lock
format = {LOCK_FORMAT}
"""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def lock_path(config: Config) -> Path:
    """Where the lock of this Alembic configuration lives: in the folder of env.py."""
    return Path(ScriptDirectory.from_config(config).dir) / LOCK_NAME


def checksum(source: str) -> str:
    """Checksum of a migration's source, blind to line endings and trailing blanks.

    A checksum that a checkout on another system changes teaches people to switch checksums off.
    """
    lines = (line.rstrip() for line in source.splitlines())
    return "sha256:" + hashlib.sha256("\n".join(lines).strip("\n").encode()).hexdigest()


def expected_from_scripts(config: Config) -> Expected:
    """The revision graph as Alembic reads it from the migration files, parents before children.

    Raises
    ------
    RevisionsLockError: the graph is broken (a parent that does not exist, a cycle, an id used twice or too long).
    """
    scripts = ScriptDirectory.from_config(config)
    try:
        with warnings.catch_warnings():
            # Of an id used twice Alembic only warns, and then runs either of the two files; of a parent
            # that does not exist its warning says more than the KeyError that follows.
            warnings.filterwarnings("error", message="Revision .* is (not present|present more than once)")
            heads = tuple(sorted(scripts.get_heads()))
        ordered = list(reversed(list(scripts.walk_revisions("base", "heads"))))
    except (CommandError, RevisionError, KeyError, UserWarning) as error:
        raise RevisionsLockError(
            f"The migration files do not form a graph: {error}.",
            solution="look for a down_revision that names no file, or an id that two files share",
        ) from error
    revisions = {}
    for script in ordered:
        if len(script.revision) > LONGEST_REVISION_ID:
            raise RevisionsLockError(
                f"The revision id {script.revision!r} has more than {LONGEST_REVISION_ID} characters, "
                "which is what alembic_version can hold.",
                solution=f"shorten the id in {script.path}",
            )
        path = Path(script.path)
        revisions[script.revision] = Revision(
            id=script.revision,
            parents=tuple(sorted(script._all_down_revisions)),
            file=path.name,
            checksum=checksum(path.read_text(encoding="utf-8")),
        )
    return Expected(heads=heads, revisions=MappingProxyType(revisions))


def render(expected: Expected) -> str:
    """The text of revisions.lock. New revisions come last, so that two branches meet in the same lines."""
    parts = [_HEADER, f"heads = {json.dumps(list(expected.heads))}\n"]
    for revision in expected.revisions.values():
        key = revision.id if _BARE_KEY.fullmatch(revision.id) else json.dumps(revision.id)
        parts.append(
            f"\n[revision.{key}]\n"
            f"parents = {json.dumps(list(revision.parents))}\n"
            f"file = {json.dumps(revision.file)}\n"
            f"checksum = {json.dumps(revision.checksum)}\n"
        )
    return "".join(parts)


def write(config: Config) -> Path:
    """Write the lock anew from the migration files and tell where it is."""
    path = lock_path(config)
    path.write_text(render(expected_from_scripts(config)), encoding="utf-8")
    return path


def check(config: Config) -> None:
    """Raise RevisionsLockError where the lock does not say what the migration files say."""
    path = lock_path(config)
    expected = expected_from_scripts(config)
    if path.exists() and path.read_text(encoding="utf-8") == render(expected):
        return
    if edited := _edited(path, expected):
        raise RevisionsLockError(
            f"{path} was written for another content of {', '.join(edited)}. Where a revision was applied already,"
            " editing its file changes nothing there, and other databases will get something else.",
            solution="restore the file (git checkout -- FILE) and write a new revision; only where it was never"
            f" released: {REWRITE}",
        )
    raise RevisionsLockError(
        f"{path} does not say what the migration files say.", solution=f"{REWRITE}, then commit it"
    )


def _edited(path: Path, expected: Expected) -> list[str]:
    """The files of revisions that the lock knows with another checksum."""
    try:
        locked = read_lock(path).revisions
    except RevisionsLockError:
        return []
    return [
        revision.file
        for id_, revision in expected.revisions.items()
        if id_ in locked and locked[id_].checksum != revision.checksum
    ]
