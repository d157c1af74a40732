"""The revision graph from the text of the migration files, without running any of them.

Alembic imports each file to learn its parents, which is most of what a question costs in a project with hundreds. What
a file says of itself is nearly always a literal, and can be read. Where a text leaves any doubt, nothing is told, and
the caller asks Alembic.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from alembic.script import Script, ScriptDirectory

from migration_gate.expected import LOCK_NAME, Expected, Revision
from migration_gate.revisions_lock import LONGEST_REVISION_ID, checksum, project_of, source_of

_SAID = re.compile(
    r"^([ \t]*)(revision|down_revision|branch_labels|depends_on)\b(?:[ \t]*:[^=\n]*)?[ \t]*=(?!=)[ \t]*(.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class _File:
    """A file's own words: `down` and `depends` are ids."""

    revision: Revision
    down: tuple[str, ...]
    depends: tuple[str, ...]


def graph_in_texts(scripts: ScriptDirectory) -> Expected | None:
    """The graph as Alembic would read it, in an order of its own (parents before children); None where in doubt.

    What `gate_phase` and its like declare is not read. A file that says its parents and cannot be imported is not
    noticed.
    """
    if scripts.sourceless:
        return None
    files: dict[str, _File] = {}
    for folder in scripts._version_locations:
        if not folder.exists():
            continue
        for path in Script._list_py_dir(scripts, folder):
            name = path.name
            if not name.endswith(".py") or name.startswith((".#", "__init__")):
                continue
            file = _read(path, name)
            if file is None or file.revision.id in files:
                return None
            files[file.revision.id] = file
    labels = [label for file in files.values() for label in file.revision.labels]
    if len(set(labels)) < len(labels) or files.keys() & set(labels):
        return None
    ordered = _ordered(files)
    if ordered is None:
        return None
    followed = {id_ for file in files.values() for id_ in file.down}
    heads = tuple(sorted(files.keys() - followed))
    revisions = MappingProxyType({id_: files[id_].revision for id_ in ordered})
    return Expected(heads, revisions, project=project_of(Path(scripts.dir) / LOCK_NAME))


def _read(path: Path, name: str) -> _File | None:
    try:
        text = source_of(path)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    said: dict[str, tuple[str, ...]] = {}
    for match in _SAID.finditer(text):
        margin, word, literal = match.groups()
        value = _ids(literal)
        # Twice, on a condition, not literally, or within a text of several lines: what Python makes of it is not for
        # us to say.
        inside = any(text.count(quotes, 0, match.start()) % 2 for quotes in ('"""', "'''"))
        if margin or word in said or value is None or inside:
            return None
        said[word] = value
    if len(said.get("revision", ())) != 1 or "down_revision" not in said:
        return None
    (id_,) = said["revision"]
    if len(id_) > LONGEST_REVISION_ID:
        return None
    down, depends = said["down_revision"], said.get("depends_on", ())
    revision = Revision(
        id=id_,
        parents=tuple(sorted({*down, *depends})),
        file=name,
        checksum=checksum(text),
        labels=tuple(sorted(said.get("branch_labels", ()))),
    )
    return _File(revision, down, depends)


def _ids(text: str) -> tuple[str, ...] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if value is None:
        return ()
    ids = (value,) if isinstance(value, str) else value
    if not isinstance(ids, tuple | list | set | frozenset) or not all(isinstance(id_, str) and id_ for id_ in ids):
        return None
    return tuple(ids)


def _ordered(files: dict[str, _File]) -> list[str] | None:
    """The ids, parents before children; None where a parent is no id (a label, or part of one), or there is a cycle."""
    waiting = {id_: set(file.revision.parents) for id_, file in files.items()}
    children: dict[str, list[str]] = {id_: [] for id_ in files}
    for id_, parents in waiting.items():
        for parent in parents:
            if parent not in children:
                return None
            children[parent].append(id_)
    free = [id_ for id_, parents in waiting.items() if not parents]
    ordered = []
    while free:
        ordered.append(id_ := free.pop())
        for child in children[id_]:
            waiting[child].discard(id_)
            if not waiting[child]:
                free.append(child)
    return ordered if len(ordered) == len(files) else None
