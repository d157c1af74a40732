"""The adopter: a folder with its own alembic.ini, env.py, models, history and application."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config

from tests.migration_gate.adoption.files import (
    APPLICATION,
    APPLICATION_ADOPTED,
    ENV_ADOPTED,
    ENV_ASYNCHRONOUS,
    ENV_SYNCHRONOUS,
    INI,
    TEMPLATE,
)
from tests.migration_gate.adoption.history import CORE, History
from tests.processes import ROOT, run, running
from tests.warm_processes import run_module

_COLOUR = ("ALTER TABLE {table} ADD COLUMN colour text", "ALTER TABLE {table} DROP COLUMN colour")


class Fleet:
    """A project written without any thought of the gate.

    Parameters
    ----------
    folder: where it is written.
    url: its database, which stands in alembic.ini as asyncpg's users write it.
    python: the interpreter that runs its commands, with the gate installed or importable.
    asynchronous: whether its own env.py is, which needs greenlet and asyncpg where `python` runs.
    """

    def __init__(
        self, folder: Path, url: str, python: Path | str = sys.executable, *, asynchronous: bool = True
    ) -> None:
        self.folder = folder
        self.url = url
        self.python = str(python)
        self._name_places()
        self.history = History()
        for each in ("core", "telemetry"):
            (self.database / each).mkdir(parents=True)
        self._write_ini()
        (folder / "fleet" / "__init__.py").write_text("")
        self.models.write_text(self.history.models)
        self.service.write_text(APPLICATION)
        (self.database / "script.py.mako").write_text(TEMPLATE)
        (self.database / "env.py").write_text(ENV_ASYNCHRONOUS if asynchronous else ENV_SYNCHRONOUS)
        for revision in self.history.revisions:
            (self.database / revision.branch / f"{revision.id}_{revision.slug}.py").write_text(revision.text)

    def copy(self, folder: Path, url: str) -> Fleet:
        """The project as it is now, in another folder and on another database."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        copied = copy.copy(self)
        copied.folder, copied.url = folder, url
        copied._name_places()
        copied._write_ini()
        return copied

    def _name_places(self) -> None:
        self.database = self.folder / "fleet" / "database"
        self.lock = self.database / "revisions.lock"
        self.models = self.folder / "fleet" / "models.py"
        self.service = self.folder / "service.py"

    def _write_ini(self) -> None:
        address = self.url.replace("postgresql://", "postgresql+asyncpg://").replace("%", "%%")
        (self.folder / "alembic.ini").write_text(INI.format(url=address))

    def adopt(self) -> None:
        """The lines that the gate asks for, and nothing else."""
        (self.database / "env.py").write_text(ENV_ADOPTED)
        self.service.write_text(APPLICATION_ADOPTED)

    @property
    def config(self) -> Config:
        return Config(str(self.folder / "alembic.ini"))

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("alembic", *arguments)

    def gate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("migration_gate", *arguments)

    def alembic_through_asyncpg_alone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`alembic …` in an interpreter that has no psycopg."""
        code = "import sys; sys.modules['psycopg'] = None; from alembic.config import main; main(prog='alembic')"
        return run(self.python, "-c", code, *arguments, env=self.variables, cwd=self.folder)

    def _run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        if self.python == sys.executable:
            return run_module(module, *arguments, env=self.variables, cwd=self.folder)
        return run(self.python, "-m", module, *arguments, env=self.variables, cwd=self.folder)

    @contextmanager
    def running(self, module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command as a process, killed at the end."""
        with running(self.python, "-m", module, *arguments, env=self.variables, cwd=self.folder) as process:
            yield process

    @property
    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)} if self.python == sys.executable else {}

    def add_revision(self, message: str, upgrade: str, downgrade: str, *arguments: str) -> str:
        """A revision of one statement each way, made by `alembic revision` on top of the head, and its id."""
        before = self.files
        done = self.alembic("revision", "-m", message, "--version-path", str(self.database / CORE), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        (path,) = self.files - before
        text = path.read_text().replace("    pass", f"    op.execute({upgrade!r})", 1)
        path.write_text(text.replace("    pass", f"    op.execute({downgrade!r})", 1))
        return path.name.split("_")[0]

    def add_colour(self, *arguments: str, schema: str = "fleet") -> str:
        """Add a revision that gives one table a colour, in the files alone."""
        table = self.history.table(schema)
        return self.add_revision("colour", *(sql.format(table=table) for sql in _COLOUR), *arguments)

    def status(self) -> dict[str, object]:
        """What `migration-gate status --json` says."""
        document: dict[str, object] = json.loads(self.gate("status", "--json").stdout)
        return document

    @property
    def files(self) -> set[Path]:
        """All migration files."""
        return {*self.database.glob("core/*.py"), *self.database.glob("telemetry/*.py")}
