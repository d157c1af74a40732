"""What the code expects of the schema: the revision graph, read from `revisions.lock`.

The lock is a small TOML file beside the migrations. A running service reads it instead of importing
Alembic and every migration (about 300 ms and 30 MiB), and git makes two branches that each add a
migration collide in it, which is where that mistake is cheapest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from migration_gate.errors import RevisionsLockError

LOCK_NAME = "revisions.lock"
LOCK_FORMAT = 1

REWRITE = "migration-gate lock   (or: python -m migration_gate lock)"


@dataclass(frozen=True)
class Revision:
    """One migration file, as the code knows it."""

    id: str
    parents: tuple[str, ...]
    file: str
    checksum: str


@dataclass(frozen=True)
class Expected:
    """The revision graph that the code was built with.

    `heads` are the revisions that a database must be at for this code; more than one where the
    project keeps branches. `revisions` maps each id to its `Revision`, parents before children.
    """

    heads: tuple[str, ...]
    revisions: Mapping[str, Revision]

    @property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        return {revision.id: revision.parents for revision in self.revisions.values()}

    def missing_from(self, applied: Iterable[str], parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """The revisions that lead from `applied` to the heads, in the order they would be applied.

        `parents` may know more than this code does: what `applied` descends from is there already.
        """
        done = lineage(applied, parents)
        wanted = lineage(self.heads, self.parents)
        return tuple(id_ for id_ in self.revisions if id_ in wanted and id_ not in done)


def lineage(revisions: Iterable[str], parents: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """`revisions` and everything they descend from, as far as `parents` knows.

    A revision that `parents` does not know stands for itself alone: nothing is concluded from names.
    """
    found: set[str] = set()
    pending = list(revisions)
    while pending:
        revision = pending.pop()
        if revision not in found:
            found.add(revision)
            pending.extend(parents.get(revision, ()))
    return frozenset(found)


def read_lock(path: Path) -> Expected:
    """Read `revisions.lock`.

    Raises
    ------
    RevisionsLockError: the file is missing, is not the TOML that the gate writes (a merge conflict left
        in it, say), or names a parent or head that it does not hold.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RevisionsLockError(
            f"{path} is missing, so the code does not know which schema it needs.",
            solution=f"write it and commit it: {REWRITE}",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RevisionsLockError(
            f"{path} cannot be read: {error}. A merge conflict left in it is the usual cause.",
            solution=f"settle the conflict between the migrations (alembic heads; alembic merge), then: {REWRITE}",
        ) from error
    try:
        return _parse(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RevisionsLockError(
            f"{path} is damaged: {error}.", solution=f"write it again and read the difference: {REWRITE}"
        ) from error


def _parse(document: dict[str, Any]) -> Expected:
    if document.get("format") != LOCK_FORMAT:
        raise ValueError(f"its format is {document.get('format')!r}, this version reads {LOCK_FORMAT}")
    revisions = {
        str(id_): Revision(
            id=str(id_),
            parents=tuple(entry["parents"]),
            file=str(entry["file"]),
            checksum=str(entry["checksum"]),
        )
        for id_, entry in document.get("revision", {}).items()
    }
    heads = tuple(document["heads"])
    named = {*heads, *(parent for revision in revisions.values() for parent in revision.parents)}
    if unknown := sorted(named - revisions.keys()):
        raise ValueError(f"it names revisions that it does not hold: {', '.join(unknown)}")
    return Expected(heads=heads, revisions=MappingProxyType(revisions))
