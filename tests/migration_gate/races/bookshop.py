"""The project that replicas race to migrate: a table in use, a column, an index built concurrently, another table."""

from __future__ import annotations

from pathlib import Path

from tests.migration_gate.scratch import Project

BASE = "f00d"
RACED = ("beef", "0abc", "1111")
INDEX = "book_title"
ROWS = 5_000

_BOOK = (
    "CREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL, sold int NOT NULL DEFAULT 0);"
    f" INSERT INTO book (title) SELECT 'Emma ' || n FROM generate_series(1, {ROWS}) n"
)
_INDEX = f"""\
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY {INDEX} ON book (title)")
"""

_MODELS = "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n"

# Each replica says on its standard error when it asks for the lock, gets it or is spared it, and has left it.
_ENV = """\
import json
import os
import pathlib
import sys
import time

from migration_gate import lock
from migration_gate.environment import run
from models import metadata


def say(what):
    print(json.dumps({"race": what, "at": time.monotonic()}), file=sys.stderr, flush=True)


if not hasattr(lock, "asked_for"):
    lock.asked_for = lock.acquire

    def acquire(*arguments, **options):
        say("asked")
        waited_s = lock.asked_for(*arguments, **options)
        say("got" if waited_s is not None else "spared")
        return waited_s

    lock.acquire = acquire
    pathlib.Path(f"ready-{os.getpid()}").touch()
    gives_up = time.monotonic() + 200
    while not pathlib.Path("go").exists():
        assert time.monotonic() < gives_up, "nobody starts the race"
        time.sleep(0.005)

run(metadata)
say("left")
"""

# As Alembic's own template has it, one transaction a revision, so that CREATE INDEX CONCURRENTLY is possible at all.
_PLAIN_ENV = """\
import os
import pathlib
import time

from alembic import context
from sqlalchemy import create_engine, pool
from models import metadata

pathlib.Path(f"ready-{os.getpid()}").touch()
gives_up = time.monotonic() + 200
while not pathlib.Path("go").exists():
    assert time.monotonic() < gives_up, "nobody starts the race"
    time.sleep(0.005)
url = os.environ["MIGRATION_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def base_project(folder: Path, url: str) -> Project:
    """The release that is in use: one table with rows."""
    project = Project(folder, url)
    (folder / "models.py").write_text(_MODELS)
    project.sql(BASE, None, _BOOK, "DROP TABLE book")
    return project


def raced_project(folder: Path, url: str, *, plain: bool = False) -> Project:
    """The next release, three revisions ahead; `plain` without the gate, as a contrast."""
    project = base_project(folder, url)
    project.write_env(_PLAIN_ENV if plain else _ENV)
    first, second, third = RACED
    project.sql(first, BASE, "ALTER TABLE book ADD COLUMN printed int", "ALTER TABLE book DROP COLUMN printed")
    project.revision(second, first, _INDEX, f'op.execute("DROP INDEX {INDEX}")')
    project.sql(third, second, "CREATE TABLE loan (id bigserial PRIMARY KEY, book bigint)", "DROP TABLE loan")
    return project
