"""Taking a database with a history into the ledger: by comparing it with what the migrations make, not by faith.

The project's history is run on an empty database that lives as long as this takes, and its catalog is noted: at the
revision that the database says it is at, or after each one where it says nothing. The database stands where the two
agree.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

from migration_gate import ledger, lock
from migration_gate.catalog import Catalog, catalog, differences
from migration_gate.configuration import copy_of
from migration_gate.connection import ADDRESS_ATTRIBUTE, read
from migration_gate.environment import AFTER_REVISION_ATTRIBUTE
from migration_gate.errors import UpgradeRefused
from migration_gate.expected import lineage
from migration_gate.ledger_verbs import Opened, end_noted_run, stamp, with_database
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.scratch_database import scratch_database
from migration_gate.upgrade import own_errors

logger = logging.getLogger(__name__)

# More than one where the history has branches: what the version table holds at one moment.
Point = tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A point of the history, and what sets the database apart from what the migrations make up to there."""

    point: Point
    differences: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.point)


def baseline(config: Config, *, scratch_url: str | None = None, revision: str | None = None) -> str:
    """Note in the ledger at which revision a database stands, and return it; several with commas between.

    Parameters
    ----------
    scratch_url: a server on which a database may be made and dropped; otherwise the database's own.
    revision: which of several revisions that make the same schema it is; where branches are, one of each,
        with commas between.

    Raises
    ------
    UpgradeRefused: the schema is what no revision makes, or several make it; nothing was touched.
    MigrationGateError: no scratch database could be made.
    """
    found, opened = with_database(config, lambda opened: (_live(opened), opened), locked=False)
    wanted = tuple(sorted(revision.split(","))) if revision else _recorded(opened)
    server = scratch_url or opened.connection.engine.url.render_as_string(hide_password=False)
    made = _history(config, server, found.schemas, opened, wanted)
    chosen = _choose([Candidate(point, differences(each, found)) for point, each in made.items()], wanted)
    if opened.observed.revisions != chosen:
        stamp(config, chosen)
    with_database(config, lambda again: _write(again, chosen), locked=True)
    return ",".join(chosen)


def _recorded(opened: Opened) -> Point | None:
    """What the version table says, as far as this code knows it."""
    recorded = opened.observed.revisions
    return recorded if recorded and opened.expected.revisions.keys() >= set(recorded) else None


def _live(opened: Opened) -> Catalog:
    found: Catalog = read(opened.connection, catalog(_schemas(opened), opened.table.name))
    opened.connection.rollback()
    return found


def _schemas(opened: Opened) -> tuple[str, ...]:
    """The version table's schema, and what the project watches beside it."""
    own = lock.schema_of(opened.connection, opened.table)
    return tuple(sorted({own, *opened.schemas}))


def _choose(candidates: list[Candidate], wanted: Point | None) -> Point:
    same = [each for each in candidates if not each.differences]
    if wanted is None and len(same) > 1:
        raise UpgradeRefused(
            f"The migrations make this very schema at {' and at '.join(map(str, same))}: they differ in data alone,"
            " if at all.",
            solution=f"see which of them was run, and say so: migration-gate ledger baseline --revision {same[-1]}",
        )
    if same:
        return same[0].point
    if not candidates:
        raise UpgradeRefused(
            f"Nothing was touched: no migration leads to {', '.join(wanted or ('any revision',))}.",
            solution="alembic history shows the revisions; where branches are, name one of each",
        )
    nearest = min(candidates, key=lambda each: len(each.differences))
    told = "\n    ".join(nearest.differences[:8])
    more = f"\n    and {len(nearest.differences) - 8} more" if len(nearest.differences) > 8 else ""
    raise UpgradeRefused(
        f"Nothing was touched: this schema is not what the migrations make at {nearest}, the"
        f" {'one that was named' if wanted else 'nearest'}:\n    {told}{more}",
        solution="make the schema what the revision makes, or write revisions that make what is there; then try again",
    )


def _write(opened: Opened, chosen: Point) -> None:
    ledger.ensure_tables(opened.connection, opened.table, opened.expected.project, _schemas(opened))
    run = ledger.begin_run(opened.connection, opened.table, "baseline", 0.0)
    held = lineage(chosen, opened.expected.parents)
    for id_, known in opened.expected.revisions.items():
        if id_ in held:
            row = ledger.RevisionRow(id_, known.parents, "baseline", known.checksum, run, known.phase)
            ledger.write_revision(opened.connection, opened.table, row)
    end_noted_run(opened, run)


def _history(
    config: Config, url: str, schemas: tuple[str, ...], opened: Opened, wanted: Point | None
) -> dict[Point, Catalog]:
    """What the migrations make on a database of its own: where they come by `wanted`, else after each revision."""
    made: dict[Point, Catalog] = {}

    def note(connection: Connection, _: str) -> None:
        rows = connection.exec_driver_sql(f"SELECT version_num FROM {opened.table.qualified}")
        point = tuple(sorted(row[0] for row in rows))
        if wanted is None or point == wanted:
            made[point] = read(connection, catalog(schemas, opened.table.name))
        connection.rollback()

    with scratch_database(url, "baseline") as address:
        scratch = copy_of(config, {**config.attributes, ADDRESS_ATTRIBUTE: sqlalchemy_url(address)})
        scratch.attributes[AFTER_REVISION_ATTRIBUTE] = note
        logger.info("running the history on a scratch database, to compare")
        with own_errors():
            for target in wanted or ("heads",):
                command.upgrade(scratch, target)
    return made
