"""Writing `revisions.lock` from the migration files, and telling when it is out of date.

`alembic revision` runs this through a write hook in alembic.ini, `make check` through
`migration-gate lock --check`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import warnings
from dataclasses import replace
from importlib.util import decode_source
from pathlib import Path
from types import MappingProxyType

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from migration_gate import compatibility
from migration_gate.errors import RevisionsLockError
from migration_gate.expected import LOCK_FORMAT, LOCK_NAME, REWRITE, Expected, Revision, read_lock
from migration_gate.phases import Declared, declared

# alembic_version.version_num is VARCHAR(32): a longer id fails at the very end of its upgrade.
LONGEST_REVISION_ID = 32

_HEADER = f"""\
# The revision graph that this code was built with. Written by `alembic revision`; by hand: migration-gate lock
# A conflict here means that two branches each added a migration. Do not settle it line by line: give the
# later migration the earlier one as its down_revision (or run `alembic merge heads`), then: migration-gate lock
format = {LOCK_FORMAT}
"""
# A comment is one only outside a string. Python's own tokenizer is a hundred times slower.
_STRING_OR_COMMENT = re.compile(
    r"""(\"{3}|'{3})(?:\\.|.)*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*""", re.DOTALL
)
_PROJECT = re.compile(r'^project = "([^"\n]+)"$', re.MULTILINE)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def lock_path(config: Config) -> Path:
    """Where the lock of this Alembic configuration lives: in the folder of env.py."""
    return Path(ScriptDirectory.from_config(config).dir) / LOCK_NAME


def checksum(source: str) -> str:
    """Checksum of a migration's source, blind to line endings, blanks at a line's end, empty lines and comments.

    A checksum that a checkout on another system, or a corrected comment, changes teaches people to switch checksums
    off. The text is compared and not the parsed code, since what Python makes of a text differs between its versions.
    """
    text = _STRING_OR_COMMENT.sub(lambda match: "" if match[0][0] == "#" else match[0], "\n".join(source.splitlines()))
    lines = (line.rstrip() for line in text.split("\n"))
    return "code-sha256:" + hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()


def source_of(path: Path) -> str:
    """A file's text as Python reads it: in the encoding that it declares, and without a byte order mark.

    Raises
    ------
    OSError, SyntaxError, UnicodeDecodeError: it cannot be read, or is not in that encoding.
    """
    return decode_source(path.read_bytes())


def expected_from_scripts(config: Config, *, declarations: bool = True) -> Expected:
    """The revision graph as Alembic reads it from the migration files, parents before children.

    Parameters
    ----------
    declarations: read what the files declare of themselves as well, which revisions.lock does not hold.

    Raises
    ------
    RevisionsLockError: the graph is broken (a parent that does not exist, a cycle, an id used twice or too long), or
        compatibility.toml cannot be read.
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
        says = declared(script.module) if declarations else Declared()
        revisions[script.revision] = Revision(
            id=script.revision,
            parents=tuple(sorted(script._all_down_revisions)),
            file=path.name,
            checksum=checksum(source_of(path)),
            labels=tuple(sorted(script._orig_branch_labels)),
            phase=says.phase,
            minimum_code=says.minimum_code,
            rerunnable=says.rerunnable,
        )
    folder = Path(scripts.dir)
    expected = Expected(heads=heads, revisions=MappingProxyType(revisions), project=project_of(folder / LOCK_NAME))
    return _with_verdicts(expected, compatibility.read(folder / compatibility.FILE_NAME))


def _with_verdicts(expected: Expected, verdicts: tuple[compatibility.Verdict, ...]) -> Expected:
    """What a file declares of itself counts for more than what tests of the release before have shown."""
    shown = compatibility.minimum_codes(verdicts, expected)
    revisions = {
        id_: replace(revision, minimum_code=revision.minimum_code or shown.get(id_))
        for id_, revision in expected.revisions.items()
    }
    return replace(expected, revisions=MappingProxyType(revisions)) if shown else expected


def project_of(path: Path) -> str | None:
    """The project's name as the lock says it, whatever became of the rest; None where it says none.

    Read from its line and not as TOML: in the conflict of two branches, which this command is there to settle, a new
    name would make every database another project's.
    """
    try:
        head = path.read_text(encoding="utf-8").partition("\n[")[0]
    except (OSError, UnicodeDecodeError):
        return None
    name = _PROJECT.search(head)
    return name[1] if name and f"format = {LOCK_FORMAT}\n" in head else None


def render(expected: Expected) -> str:
    """The text of revisions.lock. New revisions come last, so that two branches meet in the same lines."""
    project = f"project = {json.dumps(expected.project)}\n" if expected.project else ""
    parts = [_HEADER, project, f"heads = {json.dumps(list(expected.heads))}\n"]
    for revision in expected.revisions.values():
        key = revision.id if _BARE_KEY.fullmatch(revision.id) else json.dumps(revision.id)
        labels = f"labels = {json.dumps(list(revision.labels))}\n" if revision.labels else ""
        parts.append(
            f"\n[revision.{key}]\n"
            f"parents = {json.dumps(list(revision.parents))}\n"
            f"file = {json.dumps(revision.file)}\n"
            f"checksum = {json.dumps(revision.checksum)}\n{labels}"
        )
    return "".join(parts)


def write(config: Config) -> Path:
    """Write the lock anew from the migration files and tell where it is.

    The first one gives the project a name, by which a database knows whose ledger it keeps.
    """
    path = lock_path(config)
    expected = expected_from_scripts(config, declarations=False)
    if expected.project is None:
        expected = replace(expected, project=uuid.uuid4().hex)
    path.write_text(render(expected), encoding="utf-8")
    return path


def check(config: Config) -> None:
    """Raise RevisionsLockError where the lock does not say what the migration files say."""
    path = lock_path(config)
    expected = expected_from_scripts(config, declarations=False)
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
