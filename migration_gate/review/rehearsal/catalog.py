"""The relations of the temporary database as they stood before the upgrade, by oid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.source import Source


@dataclass(frozen=True)
class Relation:
    """`kind` is pg_class.relkind. `table` is the oid of an index's table, else its own. `rows` are the source's."""

    oid: int
    schema: str
    name: str
    kind: str
    table: int
    rows: int | None = None

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def holds_rows(self) -> bool:
        return self.kind in {"r", "p"}


def relations(session: Connection, source: Source) -> Mapping[int, Relation]:
    """Tables, indexes, views and materialized views, those of extensions included."""
    rows = session.execute(
        """SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, coalesce(i.indrelid, c.oid)::bigint
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                LEFT JOIN pg_index i ON i.indexrelid = c.oid
           WHERE c.relkind IN ('r', 'p', 'm', 'v', 'i', 'I') AND n.nspname NOT LIKE 'pg\\_%'
             AND n.nspname <> 'information_schema' ORDER BY 2, 3"""
    ).fetchall()
    found = {}
    for oid, schema, name, kind, table in cast("list[tuple[Any, ...]]", rows):
        facts = source.tables.get((schema, name))
        found[oid] = Relation(oid, schema, name, kind, table, facts.rows if facts else None)
    return found
