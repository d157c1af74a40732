"""The source's row counts in the scratch database, and nothing that quotes a row.

`pg_dump --statistics` would carry more: the most common values and the histograms of pg_stats are values out of
the tables, names and addresses among them. So the few figures that hold none are set one by one, with the functions
that PostgreSQL 18 has for it: pages, rows, fraction of NULL, mean width and number of distinct values.
"""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from migration_gate.postgres.faults import primary_message
from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.source import Source

FIRST_MAJOR = 18


def take_over(
    scratch: Connection, source: Source, scratch_major: int, filled: Collection[str], notes: list[str]
) -> str:
    """Set them where the scratch server can, and return the sentence that says what was done.

    Tables in `filled` have rows of their own, and their statistics come from these.
    """
    if scratch_major < FIRST_MAJOR:
        return (
            f"the source's row counts, for the judgement only: PostgreSQL {scratch_major} cannot be given planner"
            f" statistics ({FIRST_MAJOR} can)"
        )
    refused: list[str] = []
    for table in source.tables.values():
        if table.qualified in filled:
            continue
        try:
            with scratch.transaction():
                if table.rows is not None:
                    scratch.execute(
                        "SELECT pg_restore_relation_stats('schemaname', %s::text, 'relname', %s::text,"
                        " 'relpages', %s::integer, 'reltuples', %s::real)",
                        [table.schema, table.name, table.pages, table.rows],
                    )
                for (schema, name, column), facts in source.columns.items():
                    if (schema, name) == (table.schema, table.name):
                        scratch.execute(
                            "SELECT pg_restore_attribute_stats('schemaname', %s::text, 'relname', %s::text,"
                            " 'attname', %s::text, 'inherited', false, 'null_frac', %s::real,"
                            " 'avg_width', %s::integer, 'n_distinct', %s::real)",
                            [schema, name, column, facts.null_frac, facts.avg_width, facts.n_distinct],
                        )
        except psycopg.Error as error:
            refused.append(f"{table.qualified}: {primary_message(error)}")
    notes += [f"statistics could not be taken over, {reason}" for reason in refused]
    return "the source's row counts, and of its planner statistics what holds no value out of a table"
