"""What only all new revisions together show: the graph, released files, and what one release may not hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from migration_gate import revisions_lock
from migration_gate.errors import MigrationGateError, RevisionsLockError
from migration_gate.phases import DECLARATIONS, contractions
from migration_gate.review.findings import Finding, Level
from migration_gate.review.migration_file import MigrationFile
from migration_gate.review.since import Since
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change


def graph_findings(config: Config, files: Mapping[Path, MigrationFile]) -> list[Finding]:
    """Ids that the version table cannot hold, and what keeps the files from forming a graph."""
    found = [
        Finding(
            "revision-id-too-long",
            Level.ERROR,
            f"The id has {len(file.revision)} characters, and alembic_version holds"
            f" {revisions_lock.LONGEST_REVISION_ID}: the upgrade fails at its very end.",
            file.revision,
            str(path),
            file.revision_line,
            advice="Give it a shorter id, here and in the down_revision of the next.",
        )
        for path, file in files.items()
        if file.revision is not None and len(file.revision) > revisions_lock.LONGEST_REVISION_ID
    ]
    if not found:
        try:
            revisions_lock.expected_from_scripts(config, declarations=False)
        except RevisionsLockError as error:
            found.append(Finding("broken-graph", Level.ERROR, error.message, advice=error.solution))
        except Exception as error:  # noqa: BLE001  a migration file that cannot even be imported
            message = f"The migration files cannot be read: {type(error).__name__}: {error}"
            found.append(Finding("broken-graph", Level.ERROR, message, advice="Mend the file that it names."))
    return found


def multiple_heads(config: Config, files: Mapping[Path, MigrationFile]) -> Iterator[Finding]:
    """Heads that no branch label tells apart: two branches that each added a revision."""
    scripts = ScriptDirectory.from_config(config)
    heads = [script for script in (scripts.get_revision(head) for head in scripts.get_heads()) if script is not None]
    alike = {
        head.revision
        for one, other in itertools.combinations(heads, 2)
        if set(one.branch_labels) == set(other.branch_labels)
        for head in (one, other)
    }
    if alike:
        last = max((head for head in heads if head.revision in alike), key=lambda head: head.path)
        line = next((file.revision_line for path, file in files.items() if path == Path(last.path)), 1)
        names = " ".join(sorted(alike))
        yield Finding(
            "multiple-heads",
            Level.ERROR,
            f"The revisions {names.replace(' ', ' and ')} are heads beside each other: `alembic upgrade head` refuses.",
            last.revision,
            last.path,
            line,
            advice=f"Give the later one the other as its down_revision, or: alembic merge {names}",
        )


def lock_findings(config: Config) -> Iterator[Finding]:
    """revisions.lock is missing or does not say what the files say."""
    try:
        revisions_lock.check(config)
    except RevisionsLockError as error:
        yield Finding(
            "revisions-lock-out-of-date",
            Level.ERROR,
            error.message,
            file=str(revisions_lock.lock_path(config)),
            advice=error.solution,
        )


def released_findings(since: Since, files: Mapping[Path, MigrationFile]) -> Iterator[Finding]:
    """Released files that are another text now, or gone."""
    here = {file.revision: (path, file) for path, file in files.items() if file.revision is not None}
    for id_, (old_path, released) in since.released.items():
        if id_ not in here:
            yield Finding(
                "released-revision-removed",
                Level.ERROR,
                f"{old_path} was released and is gone: a database that is at {id_} cannot be placed any more.",
                id_,
                str(since.root / old_path),
                advice=f"git checkout {since.commit[:12]} -- {old_path}",
            )
            continue
        path, file = here[id_]
        if revisions_lock.checksum(file.source) != revisions_lock.checksum(released.source):
            yield Finding(
                "released-revision-edited",
                Level.ERROR,
                f"{path.name} was released with another text. Databases that have it keep what the old text did; new"
                " ones get something else, and the ledger's checksum calls it tampered with.",
                id_,
                str(path),
                _first_difference(released.source, file.source),
                advice=f"git checkout {since.commit[:12]} -- {old_path}, and write a new revision.",
            )


def _first_difference(old: str, new: str) -> int:
    pairs = itertools.zip_longest(old.strip("\n").splitlines(), new.splitlines())
    return next((line for line, (a, b) in enumerate(pairs, 1) if (a or "").rstrip() != (b or "").rstrip()), 1)


def declaration_findings(subject: Subject) -> Iterator[Finding]:
    """`gate_minimum_code` names a revision that this one descends from, or itself; and no declaration is misspelled."""
    for name in vars(subject.rendered.module):
        if name.startswith("gate_") and name not in DECLARATIONS:
            yield subject.finding(
                "bad-declaration",
                Level.ERROR,
                f"The file declares {name}, which the gate does not know.",
                at=_line_of(subject.file, name),
                advice=f"It reads {', '.join(DECLARATIONS)}; give what is your own another name.",
            )
    minimum = subject.declared.minimum_code
    if minimum is not None and minimum not in {subject.id, *(each.id for each in subject.history)}:
        yield subject.finding(
            "bad-declaration",
            Level.ERROR,
            f"gate_minimum_code names {minimum!r}, which is neither this revision nor one that it descends from.",
            at=_line_of(subject.file, "gate_minimum_code"),
            advice="Name the oldest revision whose code runs on the schema after this one.",
        )


def bad_declaration(path: Path, file: MigrationFile, error: MigrationGateError) -> Finding:
    """What `phases.declared` refuses."""
    line = _line_of(file, "gate_")
    return Finding("bad-declaration", Level.ERROR, error.message, file.revision, str(path), line, advice=error.solution)


def _line_of(file: MigrationFile, start: str) -> int:
    lines = file.source.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 1)


def contract_with_expand(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """What one release adds and takes away at once: no code is right both before and after it."""
    added: dict[tuple[str, str], tuple[Subject, Change]] = {}
    defaults: set[tuple[str, str]] = set()
    new_tables = {table for subject in subjects for table in subject.created}
    for subject in subjects:
        for change in subject.rendered.changes:
            key = (change.on, change.name)
            if change.verb == "add column" and change.on not in new_tables:
                added[key] = (subject, change)
            if key in added and (change.has_default or change.verb == "set default"):
                defaults.add(key)
    for subject in subjects:
        for change in contractions(subject.rendered.changes):
            pair = _expanded_for(change, added, defaults)
            if pair is None:
                continue
            other, column = pair
            at = next(each for each in subject.rendered.statements if any(one is change for one in each.changes))
            takes = f"{change.verb} {'.'.join(filter(None, (change.on, change.name)))}"
            yield subject.finding(
                "contract-with-expand",
                Level.ERROR,
                f"One release adds {column.on}.{column.name} (revision {other.id}) and does this ({takes}): while it is"
                " rolled out, the code of the release before still serves, and does not know the one and needs the"
                " other.",
                at=at,
                advice=f"Release {column.on}.{column.name} and the code that uses it first; leave this for the release"
                " after, in a revision that declares gate_minimum_code.",
            )


def _expanded_for(
    change: Change, added: Mapping[tuple[str, str], tuple[Subject, Change]], defaults: set[tuple[str, str]]
) -> tuple[Subject, Change] | None:
    if change.verb in {"drop column", "rename column"}:
        return next((pair for (table, name), pair in added.items() if table == change.on and name != change.name), None)
    if change.verb == "set not null":
        key = (change.on, change.name)
        return added.get(key) if key not in defaults else None
    if change.verb.startswith("add ") and change.columns:
        # Code that does not know the columns leaves them at their default, or at NULL, which few constraints refuse.
        keys = [(change.on, column) for column in change.columns]
        if "IS NOT NULL" in change.text.upper() and all(key in added and key not in defaults for key in keys):
            return added[keys[0]]
    return None
