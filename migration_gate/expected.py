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
    """One migration file, as the code knows it.

    `labels` are the branch labels that this very file declares. `phase` and `minimum_code` are what it, or the
    committed proof of compatibility, says of it; None where nothing is said (and in what `revisions.lock` holds).
    """

    id: str
    parents: tuple[str, ...]
    file: str
    checksum: str
    labels: tuple[str, ...] = ()
    phase: str | None = None
    minimum_code: str | None = None
    rerunnable: bool = False


@dataclass(frozen=True)
class Expected:
    """The revision graph that the code was built with.

    `heads` are the revisions that a database must be at for this code; more than one where the
    project keeps branches. `revisions` maps each id to its `Revision`, parents before children. `project` names
    the project that the revisions belong to, where `revisions.lock` does. `fault` tells why there is no graph, and
    `fault_solution` what mends that.
    """

    heads: tuple[str, ...]
    revisions: Mapping[str, Revision]
    project: str | None = None
    fault: str | None = None
    fault_solution: str = ""

    @classmethod
    def broken(cls, fault: str, solution: str = "") -> Expected:
        """What is expected where the migration files form no graph: nothing is known of any revision."""
        return cls((), MappingProxyType({}), fault=fault, fault_solution=solution)

    @property
    def competing_heads(self) -> tuple[str, ...]:
        """Heads of which nothing says in which order they come.

        Branches that a project keeps on purpose do not compete: each has a label of its own since they parted, or
        they never were one.
        """
        parents = self.parents
        lines = {head: lineage((head,), parents) for head in self.heads}
        return tuple(
            head
            for head in self.heads
            if any(self._compete(lines[head], lines[other]) for other in self.heads if other != head)
        )

    def _compete(self, one: frozenset[str], other: frozenset[str]) -> bool:
        if not one & other or one <= other or other <= one:
            return False
        return not all(any(self.revisions[id_].labels for id_ in own) for own in (one - other, other - one))

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


def parse_lock(text: str) -> Expected:
    """What the text of a `revisions.lock` says.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError: it is not what the gate writes.
    """
    return _parse(tomllib.loads(text))


def _parse(document: dict[str, Any]) -> Expected:
    if document.get("format") != LOCK_FORMAT:
        raise ValueError(f"its format is {document.get('format')!r}, this version reads {LOCK_FORMAT}")
    revisions = {
        str(id_): Revision(
            id=str(id_),
            parents=tuple(entry["parents"]),
            file=str(entry["file"]),
            checksum=str(entry["checksum"]),
            labels=tuple(entry.get("labels", ())),
        )
        for id_, entry in document.get("revision", {}).items()
    }
    heads = tuple(document["heads"])
    named = {*heads, *(parent for revision in revisions.values() for parent in revision.parents)}
    if unknown := sorted(named - revisions.keys()):
        raise ValueError(f"it names revisions that it does not hold: {', '.join(unknown)}")
    return Expected(heads=heads, revisions=MappingProxyType(revisions), project=document.get("project"))
