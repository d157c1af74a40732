"""What comes before the migration: the source's facts, its schema in the temporary database, rows where asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from migration_gate.environment import Environment
from migration_gate.errors import MigrationGateError
from migration_gate.postgres.url import masked_url, plain_url
from migration_gate.review.rehearsal import restore, scratch, statistics
from migration_gate.review.rehearsal.addresses import Connection, connect, connect_reading
from migration_gate.review.rehearsal.catalog import Relation, relations
from migration_gate.review.rehearsal.plan import SYNTHETIC, Plan, SourceNamedAsScratch
from migration_gate.review.rehearsal.report import Place, TableRows
from migration_gate.review.rehearsal.source import Identity, Source, read
from migration_gate.review.rehearsal.synthetic.load import Filled, fill
from migration_gate.review.rehearsal.tools import find_tools
from migration_gate.review.rehearsal.wording import counted
from migration_gate.tables import LEDGER_TABLES

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """A temporary database that is ready for the migration.

    `relations` are its tables, indexes and views by oid, those of Alembic and the gate left out: they belong to the
    migrator, and nobody waits for them.
    """

    address: str
    source: Place
    scratch: Place
    relations: Mapping[int, Relation]
    tables: tuple[TableRows, ...]
    statistics: str
    notes: tuple[str, ...]

    @property
    def crowd(self) -> list[Relation]:
        """The tables that readers and writers use."""
        return [relation for relation in self.relations.values() if relation.holds_rows]


@contextmanager
def prepared(environment: Environment, plan: Plan, say: Say) -> Iterator[Stage]:
    """A stage, whose database is dropped at the end whatever happens, unless it is to be kept.

    Raises
    ------
    MigrationGateError: a server cannot be reached or does not fit, or the schema cannot be restored.
    SourceNamedAsScratch: the scratch address is the source's own.
    """
    if environment.address is None:
        raise MigrationGateError(
            "No database is named, so there is nothing to rehearse for.", solution="set MIGRATION_DATABASE_URL"
        )
    address = plain_url(environment.address)
    notes: list[str] = []
    with contextlib.ExitStack() as ending:
        server = ending.enter_context(contextlib.closing(connect(plan.scratch_url, "server")))
        # The source's session ends with this block, before the migration begins.
        with contextlib.closing(connect_reading(address, "source")) as session:
            source, there = read(session), Identity.of(server)
            _refuse(source.identity, there)
            _name_leftovers(server, say)
            if source.identity.server == there.server:
                notes.append("the scratch database lay on the source's own server, whose other databases felt the load")
            database = scratch.temporary_database(server, plan.scratch_url, source, notes, keep=plan.keep)
            temporary = ending.enter_context(database)
            with contextlib.closing(connect(temporary, "preparation")) as target:
                _restore(session, target, address, temporary, source, environment, notes, say)
                filled, known, told = _fill(target, plan, source, environment, there.major, notes, say)
        yield Stage(
            address=temporary,
            source=Place(masked_url(address), source.identity.version),
            scratch=Place(masked_url(plan.scratch_url), there.version),
            relations=known,
            tables=tuple(_table_rows(source, filled)),
            statistics=told,
            notes=tuple(notes),
        )


def _refuse(source: Identity, there: Identity) -> None:
    if source.server == there.server and source.database == there.database:
        raise SourceNamedAsScratch(
            "--scratch-url is the address of the source itself.",
            solution="name another server, or at least another database (postgres, say), where a temporary one may be"
            " created",
        )
    if there.major < source.major:
        raise MigrationGateError(
            f"The scratch server is PostgreSQL {there.version} and the source {source.version}:"
            " what runs there says little of here.",
            solution=f"rehearse on PostgreSQL {source.major}",
        )


def _name_leftovers(server: Connection, say: Say) -> None:
    for leftover in scratch.leftovers(server):
        if not leftover.sessions:
            say(f"left by an earlier rehearsal: {leftover.name}; drop it with: migration-gate rehearse --clean")


def _restore(
    session: Connection,
    target: Connection,
    address: str,
    temporary: str,
    source: Source,
    environment: Environment,
    notes: list[str],
    say: Say,
) -> None:
    tools = find_tools(source.identity.major)
    say(f"restoring the schema: {counted(len(source.tables), 'table')}, with PostgreSQL {tools.major}'s pg_dump")
    with_owners = restore.may_keep_owners(target, source, notes)
    restore.copy_schema(tools, address, temporary, with_owners=with_owners, notes=notes)
    if missing := restore.missing_tables(target, source):
        reasons = "; ".join(note for note in notes if note.startswith("not restored"))
        raise MigrationGateError(
            f"The schema could not be restored, these tables are missing: {', '.join(missing)}. {reasons}",
            solution="give the scratch server what the source has: its extensions above all",
        )
    restore.copy_bookkeeping(session, target, environment.version_table)


def _fill(
    target: Connection, plan: Plan, source: Source, environment: Environment, major: int, notes: list[str], say: Say
) -> tuple[tuple[Filled, ...], Mapping[int, Relation], str]:
    """Rows where they are asked for, statistics for the other tables; and the relations that count."""
    every = relations(target, source)
    own = {environment.version_table.name, *LEDGER_TABLES}
    known = {oid: relation for oid, relation in every.items() if every[relation.table].name not in own}
    filled: tuple[Filled, ...] = ()
    if plan.data == SYNTHETIC:
        tables = [relation for relation in known.values() if relation.kind == "r"]
        filled = fill(target, tables, source.columns, plan.max_rows, say)
    have_rows = {done.table for done in filled if done.rows}
    return filled, known, statistics.take_over(target, source, major, have_rows, notes)


def _table_rows(source: Source, filled: tuple[Filled, ...]) -> Iterator[TableRows]:
    made = {done.table: done for done in filled}
    for facts in source.tables.values():
        done = made.get(facts.qualified)
        rows, problem = (done.rows, done.problem) if done else (0, None)
        yield TableRows(facts.qualified, facts.rows, facts.known_from, rows, problem)
