"""A repository of releases: this tree, and commits on it that each change something and bring a migration."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT

# What a release is made of; tests and documents are not started.
PARTS = ("alembic", "alembic.ini", "main.py", "migration_gate", "pyproject.toml", "requirements.txt", "taskmanager")

_MIGRATION = '''\
"""{words}"""

from collections.abc import Sequence

from alembic import op

revision: str = "{revision}"
down_revision: str | Sequence[str] | None = "{before}"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
{declared}


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''

# What is put at the end of a module of a release that is broken on purpose, by the name of the module.
NEVER_READY = {
    "taskmanager__observability__service_state": """

# A fault of this release alone: it says for ever that it drains.
ServiceState.draining = property(lambda self: True, lambda self, value: None)  # type: ignore[assignment]
"""
}
ENDS_AT_ONCE = {"taskmanager__app": '\nraise RuntimeError("a fault of this release alone")\n'}
NEW_TASKS_FAIL = {
    "taskmanager__tasks__routes": """

# A fault of this release alone: it knows no answer to a new task.
def _created(*arguments: object) -> JsonText:
    raise RuntimeError("a fault of this release alone")
"""
}
# The business probe asks for no list: clients do.
LISTS_FAIL = {
    "taskmanager__tasks__routes": """

# A fault of this release alone: it knows no page of a list.
def _no_page(self: ListParameters) -> object:
    raise RuntimeError("a fault of this release alone")


ListParameters.question = property(_no_page)  # type: ignore[assignment]
"""
}


@dataclass(frozen=True)
class Made:
    """A commit, and the revision that it brings, empty where it brings none."""

    commit: str
    revision: str


@dataclass(frozen=True)
class Migration:
    """The lines of its two functions."""

    upgrade: tuple[str, ...]
    downgrade: tuple[str, ...]


class Releases:
    """A git repository in `folder`; each release follows the one before unless another is checked out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        listed = _run(ROOT, "git", "ls-files", "-z", "--", *PARTS).split("\0")
        for name in filter(None, listed):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("config", "user.name", "releases")
        self._git("config", "user.email", "releases@example.invalid")
        self.first = self._commit("the first release")

    @property
    def head_revision(self) -> str:
        lock = tomllib.loads((self.folder / "alembic" / "revisions.lock").read_text())
        [head] = lock["heads"]
        return f"{head}"

    def release(self, words: str, migration: Migration | None = None, declared: str = "", **files: str) -> Made:
        """A commit; `declared` is a line of the migration's head.

        `files` are appended to by their names, in which `__` stands for a slash, without their `.py`.
        """
        revision = self._migrate(words, migration, declared) if migration else ""
        for name, text in files.items():
            path = self.folder / f"{name.replace('__', '/')}.py"
            path.write_text(path.read_text() + text)
        version = self.folder / "taskmanager" / "version_note.txt"
        version.write_text(f"{words}\n")
        return Made(self._commit(words), revision)

    def back_to(self, commit: str, migrated: str = "") -> None:
        """The next release follows `commit`, as one does that is made after another was rolled back.

        It has the migrations of `migrated`, which stay when a release is rolled back.
        """
        self._git("checkout", "--quiet", "--detach", commit)
        if migrated:
            self._git("checkout", "--quiet", migrated, "--", "alembic")

    def _migrate(self, words: str, migration: Migration, declared: str) -> str:
        versions = self.folder / "alembic" / "versions"
        number = len(list(versions.glob("*.py")))
        revision = secrets.token_hex(6)
        text = _MIGRATION.format(
            words=words,
            revision=revision,
            before=self.head_revision,
            declared=declared,
            upgrade="\n".join(f"    {line}" for line in migration.upgrade),
            downgrade="\n".join(f"    {line}" for line in migration.downgrade),
        )
        (versions / f"20261201_{number:04}_{revision}.py").write_text(text)
        _run(self.folder, sys.executable, "-m", "migration_gate", "lock")
        return revision

    def _commit(self, words: str) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", words)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        return _run(self.folder, "git", *arguments)


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def add_column(name: str) -> Migration:
    """An expanding migration of an instant."""
    return Migration(
        (f'op.execute("ALTER TABLE tasks ADD COLUMN {name} text")',),
        (f'op.execute("ALTER TABLE tasks DROP COLUMN {name}")',),
    )


def build_index(name: str, expression: str) -> Migration:
    """An expanding one that takes as long as the table is large, while writes go on."""
    block, drop = (
        "with op.get_context().autocommit_block():",
        f'    op.execute("DROP INDEX CONCURRENTLY IF EXISTS {name}")',
    )
    return Migration(
        (block, drop, f'    op.execute("CREATE INDEX CONCURRENTLY {name} ON tasks {expression}")'), (block, drop)
    )


def drop_column(name: str, type_: str) -> Migration:
    """A contracting one."""
    return Migration(
        (f'op.execute("ALTER TABLE tasks DROP COLUMN {name}")',),
        (f'op.execute("ALTER TABLE tasks ADD COLUMN {name} {type_}")',),
    )
