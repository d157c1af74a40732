"""A small project of another shape than the task API: it keeps books on shelves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent, indent

from alembic.config import Config

from tests.databases import Database
from tests.processes import ROOT, running
from tests.warm_processes import run_module

# Sorted as text these ids stand in the opposite order of their history.
SHELF, BOOK, TITLE_INDEX = "f00d", "beef", "0abc"
HISTORY = (SHELF, BOOK, TITLE_INDEX)

ENV = """\
from migration_gate.environment import run
from models import metadata

run(metadata{options})
"""

# Alembic's own way, past the gate.
PLAIN_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

url = os.environ["MIGRATION_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

_INI = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = %(here)s
path_separator = os
{more}
[post_write_hooks]
hooks = revisions_lock
revisions_lock.type = module
revisions_lock.module = migration_gate
revisions_lock.options = --config %(here)s/alembic.ini lock REVISION_SCRIPT_FILENAME
"""

_TEMPLATE = '''\
"""${message}"""

from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''

_MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
shelf = sa.Table("shelf", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("label", sa.Text))
book = sa.Table(
    "book",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Index("book_title", "title"),
)
"""

_REVISION = '''\
"""{id}"""

import pathlib

import sqlalchemy as sa
from alembic import op

revision = {id!r}
down_revision = {parents!r}
{more}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''

CREATE_INDEX = """\
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY book_title ON book (title)")
"""


class Project:
    """A folder with alembic.ini, env.py, models and migrations, and the commands that run in it."""

    def __init__(self, folder: Path, url: str, *, ini: str = "", options: str = "") -> None:
        self.folder = folder
        self.url = url
        self.migrations = folder / "migrations"
        self.lock = self.migrations / "revisions.lock"
        (self.migrations / "versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text(_INI.format(more=ini))
        (folder / "models.py").write_text(_MODELS)
        (self.migrations / "script.py.mako").write_text(_TEMPLATE)
        self.write_env(ENV.format(options=options))

    @property
    def config(self) -> Config:
        return Config(str(self.folder / "alembic.ini"))

    def write_env(self, text: str) -> None:
        (self.migrations / "env.py").write_text(dedent(text))

    def revision(
        self,
        id_: str,
        parents: str | tuple[str, ...] | None,
        upgrade: str = "pass",
        downgrade: str = "pass",
        more: str = "",
    ) -> Path:
        """Write a migration; a body is the text of its function, `more` stands before the functions."""
        path = self.migrations / "versions" / f"{id_}.py"
        bodies = {name: indent(dedent(body), "    ") for name, body in (("up", upgrade), ("down", downgrade))}
        text = _REVISION.format(id=id_, parents=parents, more=more, upgrade=bodies["up"], downgrade=bodies["down"])
        path.write_text(text)
        return path

    def sql(
        self,
        id_: str,
        parents: str | tuple[str, ...] | None,
        upgrade: str,
        downgrade: str = "SELECT 1",
        more: str = "",
    ) -> Path:
        """Write a migration of one statement each way."""
        return self.revision(id_, parents, f"op.execute({upgrade!r})", f"op.execute({downgrade!r})", more)

    def write_history(self) -> None:
        """Two tables, and an index that is built outside a transaction."""
        self.sql(SHELF, None, "CREATE TABLE shelf (id bigserial PRIMARY KEY, label text)", "DROP TABLE shelf")
        book = "CREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL)"
        self.sql(BOOK, SHELF, book, "DROP TABLE book")
        self.revision(TITLE_INDEX, BOOK, CREATE_INDEX, 'op.execute("DROP INDEX book_title")')

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {"MIGRATION_DATABASE_URL": self.url, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | dict(
            variables
        )

    def alembic(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`alembic …` to its end."""
        return run_module("alembic", *arguments, env=self.environment(variables), cwd=self.folder)

    def gate(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`migration-gate …` to its end."""
        return run_module("migration_gate", *arguments, env=self.environment(variables), cwd=self.folder)

    @contextmanager
    def running(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """`alembic …` or `migration_gate …` (the first argument tells) as a process, killed at the end."""
        command = (sys.executable, "-m", *arguments)
        with running(*command, env=self.environment(variables), cwd=self.folder) as process:
            yield process


def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Ask until the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    """All that a command wrote, once it is known to have exited with 0."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tables(database: Database) -> set[str]:
    rows = database.execute(
        "SELECT tablename::text FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' "
        "AND schemaname <> 'information_schema'"
    )
    return {str(row[0]) for row in rows}


def applied(database: Database) -> list[tuple[object, ...]]:
    """The ledger's revisions and what was done with them, oldest first."""
    return database.execute("SELECT revision, action FROM migration_gate_revision ORDER BY id")


def runs(database: Database) -> list[tuple[object, ...]]:
    """The ledger's runs and their results, oldest first."""
    return database.execute("SELECT command, result FROM migration_gate_run ORDER BY id")


def versions(database: Database) -> list[str]:
    return sorted(str(row[0]) for row in database.execute("SELECT version_num FROM alembic_version"))


def sessions(database: Database, condition: str) -> int:
    """How many other sessions on the database satisfy an SQL condition on pg_stat_activity."""
    rows = database.execute(
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
    )
    return int(str(rows[0][0]))
