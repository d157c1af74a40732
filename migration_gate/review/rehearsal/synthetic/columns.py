"""Tables, columns, keys and constraints of the temporary database, as far as rows must obey them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.synthetic.shapes import Type


@dataclass(frozen=True)
class Column:
    """`own_value` tells that the table gives a value by itself: generated, identity, or a sequence's next number."""

    name: str
    type: Type
    required: bool
    own_value: bool
    generated: bool
    domain_checks: str


@dataclass(frozen=True)
class Check:
    """A condition on a row, as an expression over the bare names of `columns`."""

    expression: str
    columns: frozenset[str]


@dataclass(frozen=True)
class ForeignKey:
    """`columns` refer to `target_columns` of the table with oid `target`."""

    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """What is to be known of a table to fill it. `unique` are the column sets of its unique indexes."""

    oid: int
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    foreign_keys: tuple[ForeignKey, ...]
    unique: tuple[frozenset[str], ...]


def read_table(session: Connection, oid: int, types: Types) -> Table:
    """Read one table's description from the catalog."""
    columns = _columns(session, oid, types)
    names = {column.name for column in columns}
    return Table(oid, columns, _checks(session, oid, names), _foreign_keys(session, oid), _unique(session, oid))


class Types:
    """pg_type, read once, domains and arrays resolved."""

    def __init__(self, session: Connection) -> None:
        rows = session.execute(
            """SELECT t.oid::bigint, t.typname::text, t.typtype::text, t.typbasetype::bigint, t.typtypmod, t.typnotnull,
                      CASE WHEN t.typcategory = 'A' THEN t.typelem::bigint ELSE 0 END, format_type(t.oid, NULL),
                      coalesce((SELECT string_agg(pg_get_constraintdef(c.oid), ' ') FROM pg_constraint c
                                WHERE c.contypid = t.oid), '')
               FROM pg_type t"""
        ).fetchall()
        self._rows = {row[0]: row for row in cast("list[tuple[Any, ...]]", rows)}

    def resolve(self, oid: int, declared: str, modifier: int) -> tuple[Type, bool, str]:
        """The type, whether a domain forbids NULL, and the domains' checks."""
        required, checks = False, []
        row = self._rows[oid]
        while row[2] == "d":
            required = required or row[5]
            checks.append(row[8])
            modifier = row[4]
            row = self._rows[row[3]]
        element = None
        if row[6] and row[2] == "b":
            inner = self._rows[row[6]]
            element = self.resolve(row[6], inner[7], -1)[0]
        return Type(declared, row[1], row[2], _size(row[1], modifier), element), required, " ".join(checks)


def _size(base: str, modifier: int) -> tuple[int, ...]:
    """What stands in the parentheses after a type's name: pg_type.typmodout, for the types that need it."""
    if modifier < 0:
        return ()
    if base in {"varchar", "bpchar"}:
        return (modifier - 4,)
    if base == "numeric":
        return ((modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF)
    return (modifier,) if base in {"bit", "varbit"} else ()


def _columns(session: Connection, oid: int, types: Types) -> tuple[Column, ...]:
    rows = session.execute(
        """SELECT a.attname::text, a.atttypid::bigint, format_type(a.atttypid, a.atttypmod), a.atttypmod, a.attnotnull,
                  a.attidentity <> '', a.attgenerated <> '', coalesce(pg_get_expr(d.adbin, d.adrelid), '')
           FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
        [oid],
    ).fetchall()
    columns = []
    for name, type_oid, declared, modifier, required, identity, generated, default in cast("list[Any]", rows):
        type_, domain_required, checks = types.resolve(type_oid, declared, modifier)
        own = identity or generated or default.startswith("nextval(")
        columns.append(Column(name, type_, required or domain_required, own, generated, checks))
    return tuple(columns)


def _checks(session: Connection, oid: int, names: set[str]) -> tuple[Check, ...]:
    """CHECK constraints, and of a partition the bounds that its rows must lie in."""
    rows = session.execute(
        """SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = %(oid)s AND contype = 'c'
           UNION ALL SELECT pg_get_partition_constraintdef(%(oid)s::oid)
           WHERE pg_get_partition_constraintdef(%(oid)s::oid) IS NOT NULL""",
        {"oid": oid},
    ).fetchall()
    return tuple(Check(str(row[0]), _named(str(row[0]), names)) for row in rows)


def _named(expression: str, names: set[str]) -> frozenset[str]:
    without_strings = re.sub(r"'(?:[^']|'')*'", "''", expression)
    words = set(re.findall(r'"((?:[^"]|"")+)"|\b([a-z_][\w$]*)', without_strings))
    return frozenset(names & {quoted.replace('""', '"') or bare for quoted, bare in words})


def _foreign_keys(session: Connection, oid: int) -> tuple[ForeignKey, ...]:
    rows = session.execute(
        """SELECT (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
                   JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),
                  c.confrelid::bigint,
                  (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)
                   JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num)
           FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = 'f' ORDER BY cardinality(c.conkey) DESC, c.oid""",
        [oid],
    ).fetchall()
    return tuple(ForeignKey(tuple(row[0]), row[1], tuple(row[2])) for row in cast("list[Any]", rows))


def _unique(session: Connection, oid: int) -> tuple[frozenset[str], ...]:
    rows = session.execute(
        """SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a
                  ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
           WHERE i.indrelid = %s AND (i.indisunique OR i.indisexclusion) GROUP BY i.indexrelid""",
        [oid],
    ).fetchall()
    return tuple(frozenset(cast("Sequence[str]", row[0])) for row in rows)
