"""Trying the revisions on a database that is made for it and dropped afterwards.

Up to what was released, up to the heads, `alembic check`, down to what was released and up again, each in a child
process through the project's own env.py; the catalogs are compared where the schema should be the same.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from alembic.config import Config
from sqlalchemy.engine import make_url

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.url import masked_url
from migration_gate.review.findings import Finding, Level
from migration_gate.review.rendered import NOWHERE, described
from migration_gate.scratch_database import scratch_database

Say = Callable[[str], None]

_CATALOG = """
    SELECT format('column %s.%s %s%s%s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relnamespace IN (SELECT * FROM own)
    UNION ALL
    SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace IN (SELECT * FROM own) AND contype <> 'n'
    UNION ALL
    SELECT format('index %s%s', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN ' INVALID' END)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace IN (SELECT * FROM own)
    UNION ALL
    SELECT format('function %s %s', oid::regprocedure, md5(prosrc)) FROM pg_proc
    WHERE pronamespace IN (SELECT * FROM own)
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT tgisinternal AND c.relnamespace IN (SELECT * FROM own)
    UNION ALL
    SELECT format('type %s value %s', enumtypid::regtype, enumlabel) FROM pg_enum
    UNION ALL
    SELECT format('view %s: %s', oid::regclass, pg_get_viewdef(oid)) FROM pg_class
    WHERE relkind IN ('v', 'm') AND relnamespace IN (SELECT * FROM own)
"""
_OWN = "WITH own AS (SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema') "


@dataclass(frozen=True)
class _Scratch:
    """A scratch database, and how its Alembic is called."""

    url: str
    config: Config
    own: re.Pattern[str]  # the version table and the ledger, which come with the first upgrade and stay

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "alembic", "-c", str(self.config.config_file_name), *arguments]
        # Empty, and not left out: a .env file must not put the application's own database there.
        environment = os.environ | {"MIGRATION_DATABASE_URL": self.url, "DATABASE_URL": ""}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def catalog(self) -> set[str]:
        with psycopg.connect(self.url) as connection:
            rows = connection.execute((_OWN + _CATALOG).encode()).fetchall()
        return {row[0] for row in rows if not self.own.search(row[0])}


def scratch_findings(
    config: Config, url: str, *, released: Sequence[str], heads: Sequence[str], reversible: bool, say: Say
) -> Iterator[Finding]:
    """What shows when the revisions run on a new database of the server at `url`.

    Parameters
    ----------
    released: the heads of what was released already; empty where everything is new.
    reversible: whether every new revision's downgrade claims to undo; otherwise none is tried.

    Raises
    ------
    MigrationGateError: the server cannot be reached, its role may not create databases, or env.py takes its database
        from elsewhere than MIGRATION_DATABASE_URL, so that trying would touch another one.
    """
    environment = described(config, application="")
    nowhere = make_url(NOWHERE).host
    if environment is None or environment.address is None or make_url(environment.address).host != nowhere:
        raise MigrationGateError(
            "env.py does not take its database from MIGRATION_DATABASE_URL alone, so nobody knows which one"
            " it would migrate.",
            solution="let env.py end in migration_gate.environment.run(metadata), or leave --scratch-url out",
        )
    own = re.compile(rf"\b(?:migration_gate_\w+|{re.escape(environment.version_table.name)})\b")
    with scratch_database(url, "lint") as scratch_url:
        scratch = _Scratch(scratch_url, config, own)
        yield from _tried(scratch, released, heads, reversible, say)


def _tried(
    scratch: _Scratch, released: Sequence[str], heads: Sequence[str], reversible: bool, say: Say
) -> Iterator[Finding]:
    say("scratch database: upgrading")
    for target in released:
        if failed := _failed(scratch, "upgrade", target):
            yield _finding("upgrade-fails", "The revisions that were released fail on a new database.", failed)
            return
    before = scratch.catalog()
    if failed := _failed(scratch, "upgrade", "heads"):
        yield _finding("upgrade-fails", "The upgrade fails on a new database.", failed)
        return
    after = scratch.catalog()
    say("scratch database: comparing the models with the schema")
    if failed := _failed(scratch, "check"):
        message = "The models say something else than the schema after the last revision."
        yield _finding("models-differ", message, failed, "alembic revision --autogenerate -m '…'")
    if len(released) > 1 or not reversible or set(released) == set(heads):
        return
    say("scratch database: downgrading the new revisions and upgrading again")
    target = released[0] if released else "base"
    if failed := _failed(scratch, "downgrade", target):
        yield _finding("downgrade-fails", f"The downgrade to {target} fails.", failed)
        return
    if traces := _difference(before, scratch.catalog()):
        message = f"After the downgrade to {target} the schema is not what it was there."
        yield _finding("downgrade-leaves-traces", message, traces)
    if failed := _failed(scratch, "upgrade", "heads"):
        yield _finding("downgrade-fails", "After the downgrade, the upgrade fails.", failed)
    elif traces := _difference(after, scratch.catalog()):
        message = "After a downgrade and an upgrade the schema is not what it was."
        yield _finding("downgrade-leaves-traces", message, traces)


def _failed(scratch: _Scratch, *arguments: str) -> str:
    """The end of what Alembic said, or nothing where it succeeded."""
    done = scratch.alembic(*arguments)
    if done.returncode == 0:
        return ""
    said = (done.stdout + done.stderr).replace(scratch.url, masked_url(scratch.url)).strip()
    return "\n".join(said.splitlines()[-6:]) or f"it exits with status {done.returncode}"


def _difference(before: set[str], after: set[str]) -> str:
    lines = [f"- {line}" for line in sorted(before - after)] + [f"+ {line}" for line in sorted(after - before)]
    return "\n".join([*lines[:10], *([f"… and {len(lines) - 10} more"] if len(lines) > 10 else [])])


def _finding(rule: str, message: str, evidence: str, advice: str = "") -> Finding:
    return Finding(rule, Level.ERROR, message, statement=evidence, advice=advice)
