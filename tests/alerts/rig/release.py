"""A release after this one: a copy of the product's tree to which revisions are added."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

from migration_gate.expected import LOCK_NAME, read_lock
from tests.processes import ROOT

_PARTS = ("taskmanager", "migration_gate", "alembic", "alembic.ini")

_REVISION = '''\
"""{id}"""

import time

from alembic import op

revision = "{id}"
down_revision = "{parent}"
branch_labels = None
depends_on = None


def upgrade() -> None:
{body}


def downgrade() -> None:
    pass
'''


class Release:
    """The tree, in a folder that is made."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        tree.mkdir()
        for name in _PARTS:
            source = ROOT / name
            if source.is_dir():
                # Bytecode too: a service must not be slower to start because it is a copy.
                shutil.copytree(source, tree / name)
            else:
                shutil.copy2(source, tree / name)

    @property
    def head(self) -> str:
        (head,) = read_lock(self.tree / "alembic" / LOCK_NAME).heads
        return head

    def revision(self, id_: str, body: str) -> None:
        """Add a migration after the head; `body` is the text of its upgrade(), which knows `op` and `time`."""
        text = _REVISION.format(id=id_, parent=self.head, body=indent(body.strip(), "    "))
        (self.tree / "alembic" / "versions" / f"29990101_0000_{id_}.py").write_text(text)
        # The lock is read by a service; the database plays no part in writing it.
        done = self.run("migration_gate", "lock", env={})
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", module, *arguments]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.tree)} | dict(env)

    def run(self, module: str, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """`python -m module …` in the tree to its end, its exit status not judged."""
        return subprocess.run(
            self.command(module, *arguments),
            env=self.environment(env),
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, module: str, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """The same as a process, whose output nobody reads."""
        return subprocess.Popen(
            self.command(module, *arguments),
            env=self.environment(env),
            cwd=self.tree,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
