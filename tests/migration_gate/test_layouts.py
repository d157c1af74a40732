"""Projects laid out in the ways that Alembic allows: where the files are, and where it is said where they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from migration_gate.configuration import arguments_of, load
from migration_gate.project import description_of
from tests.databases import Database
from tests.migration_gate.scratch import succeed, versions
from tests.processes import ROOT, Service, run
from tests.warm_processes import run_module

_MODELS = """\
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"
    id = sa.Column(sa.BigInteger, primary_key=True)
    title = sa.Column(sa.Text)
"""

_ENV = """\
from migration_gate.environment import run
from library.models import Base

run(Base.metadata)
"""

_REVISION = '''\
"""{id}"""

from alembic import op

revision = {id!r}
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade():
    op.execute({sql!r})


def downgrade():
    op.execute({undo!r})
'''
_CREATE = ("CREATE TABLE book (id bigserial PRIMARY KEY)", "DROP TABLE book")
_ADD = ("ALTER TABLE book ADD COLUMN title text", "ALTER TABLE book DROP COLUMN title")

_HOOK = """
[post_write_hooks]
hooks = revisions_lock
revisions_lock.type = module
revisions_lock.module = migration_gate
revisions_lock.options = --config %(here)s/alembic.ini lock REVISION_SCRIPT_FILENAME
"""
_TOML_HOOK = """
[[tool.alembic.post_write_hooks]]
name = "revisions_lock"
type = "module"
module = "migration_gate"
options = "--config %(here)s/pyproject.toml lock REVISION_SCRIPT_FILENAME"
"""
_TOML = """\
[project]
name = "library"
version = "1"

[tool.alembic]
script_location = "%(here)s/migrations"
prepend_sys_path = ["src"]
"""


@dataclass(frozen=True)
class Layout:
    """Where things are. `first` and `second` are the folders of the two revisions; `arguments` go to every command."""

    ini: str | None = None
    toml: str | None = None
    migrations: str = "migrations"
    first: str = "migrations/versions"
    second: str = "migrations/versions"
    arguments: tuple[str, ...] = ()
    for_new: str | None = None  # which of several folders of versions, where Alembic must be told
    more: dict[str, str] = field(default_factory=dict)


LAYOUTS = {
    "models in src": Layout("script_location = %(here)s/migrations\nprepend_sys_path = src\n"),
    "several folders of versions": Layout(
        "script_location = %(here)s/migrations\nprepend_sys_path = src\npath_separator = :\n"
        "version_locations = %(here)s/migrations/core:%(here)s/shared/extra\n",
        first="migrations/core",
        second="shared/extra",
    ),
    "folders by date": Layout(
        "script_location = %(here)s/migrations\nprepend_sys_path = src\nrecursive_version_locations = true\n"
        "file_template = %%(year)d/%%(month).2d/%%(day).2d_%%(rev)s_%%(slug)s\n",
        first="migrations/versions/2024/01",
        second="migrations/versions/2024/02",
    ),
    "a package": Layout(
        "script_location = library:migrations\nprepend_sys_path = src\n",
        migrations="src/library/migrations",
        first="src/library/migrations/versions",
        second="src/library/migrations/versions",
        more={"src/library/migrations/__init__.py": ""},
    ),
    "pyproject.toml with an alembic.ini": Layout("", _TOML),
    "pyproject.toml alone": Layout(None, _TOML),
    "pyproject.toml by its name": Layout(None, _TOML, arguments=("--config", "pyproject.toml")),
    "pyproject.toml with several folders by date": Layout(
        None,
        _TOML + 'version_locations = ["%(here)s/migrations/core", "%(here)s/shared"]\n'
        "recursive_version_locations = true\n"
        'file_template = "%%(year)d/%%(rev)s_%%(slug)s"\n',
        first="migrations/core/2024",
        second="shared/2025",
        for_new="shared",
    ),
}


class Laid:
    """A project in a layout, whose two revisions were not applied yet."""

    def __init__(self, folder: Path, layout: Layout, database: Database) -> None:
        self.folder, self.layout, self.database = folder, layout, database
        self.migrations = folder / layout.migrations
        self.variables = {
            "MIGRATION_DATABASE_URL": database.migrator_url,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        template = ROOT / "alembic" / "script.py.mako"
        files = {
            "src/library/__init__.py": "",
            "src/library/models.py": _MODELS,
            f"{layout.migrations}/env.py": _ENV,
            f"{layout.migrations}/script.py.mako": template.read_text(encoding="utf-8"),
            f"{layout.first}/one.py": _REVISION.format(id="one", down=None, sql=_CREATE[0], undo=_CREATE[1]),
            f"{layout.second}/two.py": _REVISION.format(id="two", down="one", sql=_ADD[0], undo=_ADD[1]),
            **layout.more,
        }
        if layout.ini is not None:
            files["alembic.ini"] = f"[alembic]\n{layout.ini}{'' if layout.toml else _HOOK}"
        if layout.toml is not None:
            files["pyproject.toml"] = layout.toml + _TOML_HOOK
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    @property
    def configuration(self) -> Path:
        return self.folder / ("pyproject.toml" if self.layout.ini is None else "alembic.ini")

    def gate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("migration_gate", *arguments)

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("alembic", *arguments)

    def _run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_module(module, *self.layout.arguments, *arguments, env=self.variables, cwd=self.folder)


@pytest.fixture(params=LAYOUTS)
def laid(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Database) -> Laid:
    return Laid(tmp_path / "project", LAYOUTS[request.param], empty_database)


@pytest.mark.timeout(300)
def test_every_command_finds_the_project_and_the_lock_is_kept(laid: Laid) -> None:
    database = laid.database
    status = laid.gate("status", "--json")
    assert json.loads(status.stdout)["missing"] == ["one", "two"], status.stderr
    assert "ALTER TABLE book ADD COLUMN title text;" in succeed(laid.gate("upgrade", "--dry-run"))

    succeed(laid.gate("upgrade"))
    assert versions(database) == ["two"]
    where = () if laid.layout.for_new is None else ("--version-path", str(laid.folder / laid.layout.for_new))
    succeed(laid.alembic("revision", "-m", "more", "--rev-id", "three", *where))
    assert "[revision.three]" in (laid.migrations / "revisions.lock").read_text(encoding="utf-8")
    succeed(laid.gate("lock", "--check"))
    succeed(laid.alembic("upgrade", "head"))
    assert succeed(laid.gate("status")).startswith("current: traffic may flow")
    linted = laid.gate("lint", "--all")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    # As the gate's own child processes call Alembic.
    named = arguments_of(load(laid.configuration))
    assert "three (head)" in succeed(run_module("alembic", *named, "current", env=laid.variables, cwd=laid.folder))
    succeed(laid.gate("ledger", "leave", "--yes"))
    succeed(laid.gate("ledger", "baseline", "--scratch-url", database.admin_url, "--revision", "three"))


async def test_the_gates_child_describes_the_project_by_the_file_that_names_it(
    laid: Laid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(laid.folder / "src"))
    monkeypatch.chdir(laid.folder)

    description = await description_of(laid.configuration)

    assert description.expected.heads == ("two",)
    assert description.statements.keys() == {"table:book"}


def test_a_project_of_alembics_pyproject_template_adopts_the_gate_and_is_served(
    tmp_path: Path, empty_database: Database
) -> None:
    laid = Laid(tmp_path / "project", Layout(None, ""), empty_database)
    for path in (laid.folder / "pyproject.toml", laid.migrations / "env.py", laid.migrations / "script.py.mako"):
        path.unlink()
    revisions = laid.migrations / "versions"
    shutil.move(revisions, tmp_path / "versions")
    succeed(laid.alembic("init", "--template", "pyproject", "migrations"))
    shutil.copytree(tmp_path / "versions", revisions, dirs_exist_ok=True)
    (laid.migrations / "env.py").write_text(_ENV, encoding="utf-8")
    text = (laid.folder / "pyproject.toml").read_text(encoding="utf-8")
    assert "[tool.alembic]" in text
    toml = text.replace('prepend_sys_path = [\n    "."\n]', 'prepend_sys_path = ["src"]')
    assert toml != text
    (laid.folder / "pyproject.toml").write_text(toml, encoding="utf-8")
    (laid.folder / "service.py").write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "from migration_gate import SchemaGate\n"
        'app = Starlette(routes=[Route("/books", lambda request: PlainTextResponse("books"))])\n'
        'app.add_middleware(SchemaGate, config="pyproject.toml")\n'
    )
    command = (sys.executable, "-m", "uvicorn", "service:app", "--port", "{port}")
    variables = {"PYTHONPATH": str(ROOT), "DATABASE_URL": empty_database.migrator_url}

    with Service(variables, tmp_path, command=command, cwd=laid.folder) as service:
        assert service.wait_for("/books", 503, within_s=60).json()["code"] == "never_migrated"
        succeed(laid.gate("upgrade"))
        assert service.wait_for("/books", 200).text == "books"


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({}, (), "There is no alembic.ini in {folder}, and no [tool.alembic] in a pyproject.toml beside it"),
        ({"pyproject.toml": "[project]\n"}, (), "There is no alembic.ini in {folder}, and no [tool.alembic]"),
        (
            {"pyproject.toml": "[project]\n"},
            ("-c", "pyproject.toml"),
            "There is no [tool.alembic] in pyproject.toml, and no alembic.ini beside it",
        ),
        ({}, ("-c", "pyproject.toml"), "There is no pyproject.toml in {folder}"),
        ({"pyproject.toml": _TOML}, ("-c", "other.ini"), "There is no other.ini in {folder}"),
    ],
)
def test_where_there_is_no_configuration_it_is_said_which_file_was_looked_for(
    tmp_path: Path, files: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    done = run_module("migration_gate", *arguments, "status", env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path)

    assert done.returncode == 2
    assert said.format(folder=tmp_path) in done.stderr
    assert "name Alembic's configuration with --config" in done.stderr


def test_a_project_elsewhere_is_not_taken_for_the_one_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(_TOML)

    done = run(
        *(sys.executable, "-m", "migration_gate", "-c", "elsewhere/alembic.ini", "status"),
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )

    assert done.returncode == 2
    assert f"There is no elsewhere/alembic.ini in {tmp_path}" in done.stderr


def test_a_pyproject_toml_in_the_working_directory_completes_an_alembic_ini_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(_TOML)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "alembic.ini").write_text("[alembic]\nsqlalchemy.url = postgresql://h/library\n")
    monkeypatch.chdir(tmp_path)

    config = load("conf/alembic.ini")

    assert config.get_main_option("sqlalchemy.url") == "postgresql://h/library"
    assert config.get_alembic_option("script_location") == f"{tmp_path}/migrations"
    assert arguments_of(config) == ["--config", "conf/alembic.ini", "--config", "pyproject.toml"]
