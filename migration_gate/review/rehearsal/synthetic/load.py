"""Filling the tables, those first that others refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import psycopg

from migration_gate.postgres.faults import primary_message
from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.catalog import Relation
from migration_gate.review.rehearsal.source import ColumnFacts
from migration_gate.review.rehearsal.synthetic.columns import Table, Types, read_table
from migration_gate.review.rehearsal.synthetic.rows import NotPossible, Rows

LONGEST_STATEMENT = "120s"
MOST_ROUNDS = 4


@dataclass(frozen=True)
class Filled:
    """How many rows a table got, and why not as many as it should have, where that is so."""

    table: str
    rows: int
    problem: str | None = None


def fill(
    session: Connection,
    relations: Sequence[Relation],
    facts: Mapping[tuple[str, str, str], ColumnFacts],
    max_rows: int,
    say: Callable[[str], None],
) -> tuple[Filled, ...]:
    """Make up to `max_rows` rows a table, no more than the source has, and tell of each table how it went."""
    types = Types(session)
    session.execute(f"SET statement_timeout = '{LONGEST_STATEMENT}'")
    by_oid = {relation.oid: relation for relation in relations}
    tables = {oid: read_table(session, oid, types) for oid in by_oid}
    order = list(_parents_first(session, tables))
    filled = []
    for position, oid in enumerate(order, 1):
        relation = by_oid[oid]
        wanted = min(relation.rows or 0, max_rows)
        if wanted:
            say(f"generating rows of {relation.qualified} ({position} of {len(order)})")
            filled.append(_fill(session, relation, tables[oid], facts, wanted))
        elif relation.rows is None:
            filled.append(Filled(relation.qualified, 0, "nobody knows how many rows it has: ANALYZE it at the source"))
    session.execute("RESET statement_timeout")
    return tuple(filled)


def _fill(
    session: Connection,
    relation: Relation,
    table: Table,
    facts: Mapping[tuple[str, str, str], ColumnFacts],
    wanted: int,
) -> Filled:
    own = {
        column: known
        for (schema, name, column), known in facts.items()
        if (schema, name) == (relation.schema, relation.name)
    }
    made = 0
    try:
        rows = Rows(session, relation, table, own, wanted)
        for round_ in range(MOST_ROUNDS):
            # Rows that a unique index refused are made good with later numbers.
            more = _insert(session, rows, wanted - made, first=1 + round_ * wanted)
            made += more
            if made >= wanted or not more:
                break
        session.execute(rows.analyze)
    except NotPossible as error:
        return Filled(relation.qualified, made, str(error))
    except psycopg.Error as error:
        return Filled(relation.qualified, made, f"PostgreSQL refused the rows: {primary_message(error)}")
    problem = None if made >= wanted else f"only {made} of {wanted} rows satisfy its constraints"
    return Filled(relation.qualified, made, problem)


def _insert(session: Connection, rows: Rows, count: int, first: int) -> int:
    """Insert, as the table is; then without what may stand in the way, as far as the fault allows."""
    skipping, triggers = True, True
    while True:
        try:
            with session.transaction():
                if not triggers:
                    session.execute("SET LOCAL session_replication_role = replica")
                return session.execute(rows.insert(count, first, skipping=skipping)).rowcount
        except psycopg.Error as error:
            sqlstate = error.sqlstate or ""
            if skipping and sqlstate.startswith("55"):
                skipping = False  # a deferrable unique constraint cannot be asked to skip
            elif triggers and sqlstate[:2] not in {"22", "23"} and _is_superuser(session):
                triggers = False  # a trigger of the project wants something that is not here
            else:
                raise


def _is_superuser(session: Connection) -> bool:
    row = session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def _parents_first(session: Connection, tables: Mapping[int, Table]) -> Iterator[int]:
    """Oids in an order in which every table comes after those it refers to, cycles broken where they must be."""
    leaves = _leaves(session)
    needs = {
        oid: {
            leaf
            for key in table.foreign_keys
            for leaf in leaves.get(key.target, (key.target,))
            if leaf != oid and leaf in tables
        }
        for oid, table in tables.items()
    }
    while True:
        try:
            yield from TopologicalSorter(needs).static_order()
        except CycleError as cycle:
            first, then = _weakest(cycle.args[1], tables, leaves)
            needs[then].discard(first)
        else:
            return


def _weakest(
    cycle: Sequence[int], tables: Mapping[int, Table], leaves: Mapping[int, tuple[int, ...]]
) -> tuple[int, int]:
    """Of the pairs (referred to, referring) of a cycle one whose reference may be NULL, else the first."""
    pairs = list(pairwise(cycle))
    for parent, child in pairs:
        required = {column.name for column in tables[child].columns if column.required}
        keys = [key for key in tables[child].foreign_keys if parent in leaves.get(key.target, (key.target,))]
        if not any(required & set(key.columns) for key in keys):
            return parent, child
    return pairs[0]


def _leaves(session: Connection) -> dict[int, tuple[int, ...]]:
    """A partitioned table's rows lie in its partitions."""
    rows = session.execute(
        """SELECT c.oid::bigint, (SELECT array_agg(t.relid::oid::bigint) FROM pg_partition_tree(c.oid) t WHERE t.isleaf)
           FROM pg_class c WHERE c.relkind = 'p'"""
    ).fetchall()
    return {int(str(row[0])): tuple(row[1] or ()) for row in rows}  # type: ignore[arg-type]
