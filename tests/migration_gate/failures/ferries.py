"""A ferry timetable in a schema of its own: an enum, a view, a foreign key, rows, an index built concurrently."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from tests.databases import Database
from tests.migration_gate.scratch import Project, succeed
from tests.processes import run

# Sorted as text these ids stand in another order than in their history.
QUAYS, SAILINGS, HARBOURS, LEAVES_INDEX = "7c10", "3a2e", "b9d4", "05fe"
HISTORY = (QUAYS, SAILINGS, HARBOURS, LEAVES_INDEX)

_ENV = """\
from migration_gate.environment import run
from models import metadata

run(metadata, version_table_schema="ferry", include_schemas=True{options})
"""

_MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData(schema="ferry")
quay = sa.Table(
    "quay",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)
sailing = sa.Table(
    "sailing",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("quay", sa.Text, sa.ForeignKey("ferry.quay.code"), nullable=False),
    sa.Column("leaves", sa.DateTime(timezone=True), nullable=False),
    sa.Index("sailing_leaves", "leaves"),
{more})
"""
_STATE = """\
    sa.Column(
        "state",
        sa.Enum("planned", "sailed", name="sailing_state", schema="ferry"),
        nullable=False,
        server_default="planned",
    ),
"""

_QUAYS = """\
op.execute("CREATE TYPE ferry.sailing_state AS ENUM ('planned', 'sailed')")
op.execute("CREATE TABLE ferry.quay (code text PRIMARY KEY, name text NOT NULL)")
"""
_NO_QUAYS = """\
op.execute("DROP TABLE ferry.quay")
op.execute("DROP TYPE ferry.sailing_state")
"""
_SAILINGS = '''\
op.execute("""CREATE TABLE ferry.sailing (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quay text NOT NULL REFERENCES ferry.quay,
    leaves timestamptz NOT NULL,
    state ferry.sailing_state NOT NULL DEFAULT 'planned'
)""")
op.execute("CREATE VIEW ferry.departure AS SELECT name, leaves FROM ferry.sailing JOIN ferry.quay ON code = quay")
'''
_NO_SAILINGS = """\
op.execute("DROP VIEW ferry.departure")
op.execute("DROP TABLE ferry.sailing")
"""
_HARBOURS = "INSERT INTO ferry.quay VALUES ('ORK', 'Orkney'), ('SKY', 'Skye')"
_LEAVES_INDEX = """\
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY sailing_leaves ON ferry.sailing (leaves)")
"""

# As the database's owner has it: the schema is there before the first migration, and the application may look into it.
_SCHEMA = """
    CREATE SCHEMA ferry;
    GRANT USAGE ON SCHEMA ferry TO taskmanager_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA ferry GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO taskmanager_app;
"""


class Ferries(Project):
    """The project, its database, and the commands that run in it with both roles' addresses."""

    def __init__(self, folder: Path, database: Database, *, options: str = "") -> None:
        super().__init__(folder, database.migrator_url)
        self.database = database
        self.options(options)
        self.models()
        database.execute(_SCHEMA)

    def options(self, text: str) -> None:
        """Write env.py with further arguments to `run`, such as `, lock_timeout="200ms"`."""
        self.write_env(_ENV.format(options=text))

    def models(self, more: str = "", *, with_state: bool = True) -> None:
        """Write the models, with further lines in the table of sailings, or without its column `state`."""
        (self.folder / "models.py").write_text(_MODELS.format(more=(_STATE if with_state else "") + more))

    def write_history(self) -> None:
        self.revision(QUAYS, None, _QUAYS, _NO_QUAYS)
        self.revision(SAILINGS, QUAYS, _SAILINGS, _NO_SAILINGS)
        self.sql(HARBOURS, SAILINGS, _HARBOURS, "DELETE FROM ferry.quay WHERE code IN ('ORK', 'SKY')")
        self.revision(LEAVES_INDEX, HARBOURS, _LEAVES_INDEX, 'op.execute("DROP INDEX ferry.sailing_leaves")')

    def sail(self, sailings: int = 3) -> None:
        """Give the timetable rows."""
        self.database.execute(
            "INSERT INTO ferry.sailing (quay, leaves) SELECT 'ORK', timestamptz '2026-01-01' + n * interval '1 h'"
            f" FROM generate_series(1, {sailings}) n"
        )

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return super().environment({"DATABASE_URL": self.database.app_url} | dict(variables))

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A script of the project's own to its end."""
        return run(sys.executable, *arguments, env=self.environment({}), cwd=self.folder)

    def path(self, revision: str) -> Path:
        return self.migrations / "versions" / f"{revision}.py"

    def verdict(self, **variables: str) -> dict[str, Any]:
        """What `migration-gate status --json` says."""
        document: dict[str, Any] = json.loads(self.gate("status", "--json", **variables).stdout)
        return document

    def finding(self, state: str) -> dict[str, str]:
        """What `status` says of one state, which need not be the first that it names."""
        verdict = self.verdict()
        found: list[dict[str, str]] = [each for each in verdict["findings"] if each["state"] == state]
        assert found, verdict
        return found[0]

    def assert_current(self) -> None:
        """`status` has nothing to say, in text and in its exit status."""
        told = self.gate("status")
        assert (told.returncode, told.stdout.split(":")[0]) == (0, "current"), told.stdout + told.stderr

    def revisions(self) -> list[str]:
        return sorted(str(row[0]) for row in self.database.execute("SELECT version_num FROM ferry.alembic_version"))

    def runs(self) -> list[tuple[object, ...]]:
        return self.database.execute("SELECT command, result FROM ferry.migration_gate_run ORDER BY id")

    def applied(self) -> list[object]:
        rows = self.database.execute("SELECT revision FROM ferry.migration_gate_revision WHERE action = 'upgrade'")
        return [row[0] for row in rows]

    def everything(self) -> dict[str, object]:
        """Every object and every row of the database, the ledger's own included: what a refusal must leave alone."""
        with psycopg.connect(self.database.admin_url) as session:
            objects = session.execute(_OBJECTS).fetchall()
            rows = {
                name: session.execute(f"SELECT t::text FROM {name} t ORDER BY 1".encode()).fetchall()
                for kind, name, _ in objects
                if kind == "table"
            }
        return {"objects": objects, "rows": rows}


_OBJECTS = """
    WITH own AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
    SELECT 'table', format('%I.%I', relnamespace::regnamespace, relname), '' FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace IN (TABLE own)
    UNION ALL
    SELECT 'column', attrelid::regclass || '.' || attname,
           format_type(atttypid, atttypmod) || attnotnull || coalesce(pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    LEFT JOIN pg_attrdef d ON (adrelid, adnum) = (attrelid, attnum)
    WHERE relnamespace IN (TABLE own) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) || indisvalid
    FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace IN (TABLE own)
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) || convalidated
    FROM pg_constraint WHERE connamespace IN (TABLE own)
    UNION ALL
    SELECT 'enum', enumtypid::regtype::text, enumlabel FROM pg_enum
    ORDER BY 1, 2, 3
"""


def sailing(ferries: Ferries) -> Ferries:
    """At the code's head, with rows."""
    succeed(ferries.alembic("upgrade", "head"))
    ferries.sail()
    return ferries


def told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr
