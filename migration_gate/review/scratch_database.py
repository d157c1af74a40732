"""Trying the revisions on a database that is made for it and dropped afterwards.

Up to what was released, up to the heads, `alembic check`, down to what was released and up again, each in a child
process through the project's own env.py; the catalogs are compared where the schema should be the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import psycopg
from alembic.config import Config
from sqlalchemy.engine import make_url

from migration_gate.catalog import Catalog, catalog, differences
from migration_gate.configuration import arguments_of
from migration_gate.errors import MigrationGateError
from migration_gate.postgres.url import masked_url
from migration_gate.review.findings import Finding, Level
from migration_gate.review.pointed import pointed_at
from migration_gate.review.rendered import NOWHERE, described
from migration_gate.scratch_database import scratch_database

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Scratch:
    """A scratch database, and how its Alembic is called."""

    url: str
    config: Config
    version_table: str

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "alembic", *arguments_of(self.config), *arguments]
        # Empty, and not left out: a .env file must not put the application's own database there.
        environment = os.environ | pointed_at(self.url, "")
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def catalog(self) -> Catalog:
        """The objects of every schema, but for Alembic's and the gate's own, which come with the first upgrade."""
        with psycopg.connect(self.url) as connection:
            schemas = [row[0] for row in connection.execute(_SCHEMAS)]
            reading = catalog(schemas, self.version_table)
            rows = connection.execute(next(reading).encode()).fetchall()
        try:
            reading.send(rows)
        except StopIteration as end:
            return cast("Catalog", end.value)
        raise AssertionError("the catalog is read by one statement")


_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


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
    with scratch_database(url, "lint") as scratch_url:
        scratch = _Scratch(scratch_url, config, environment.version_table.name)
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


def _difference(before: Catalog, after: Catalog) -> str:
    found = differences(before, after)
    return "\n".join([*found[:10], *([f"and {len(found) - 10} more"] if len(found) > 10 else [])])


def _finding(rule: str, message: str, evidence: str, advice: str = "") -> Finding:
    return Finding(rule, Level.ERROR, message, statement=evidence, advice=advice)
