"""What the tables hold: of each the number of rows and a checksum of all of them, in the order of their key.

A checksum is of text as COPY writes it, under settings that every server and version reads alike; text keys are
ordered by their bytes, since two servers may sort the same words differently. Equal checksums mean equal rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from taskmanager.backup.connecting import Connection

_SETTINGS = """
    SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL TimeZone = 'UTC'; SET LOCAL IntervalStyle = 'iso_8601';
    SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL row_security = off;
    SET LOCAL search_path = pg_catalog; SET LOCAL client_encoding = 'UTF8'; SET LOCAL statement_timeout = 0
"""

# Of an extension's own tables pg_dump writes what the extension says.
_TABLES = """
    SELECT c.oid, n.nspname::text, c.relname::text,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum),
           ARRAY(SELECT a.attname::text
                 FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k (number, at)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                 WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.at),
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attcollation <> 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
    ORDER BY 2, 3
"""


@dataclass(frozen=True)
class TableContents:
    """`name` is SCHEMA.TABLE; `sha256` is of its columns' names and its rows."""

    name: str
    rows: int
    sha256: str

    @classmethod
    def of_json(cls, table: Mapping[str, Any]) -> TableContents:
        return cls(str(table["name"]), int(table["rows"]), str(table["sha256"]))


def read_contents(connection: Connection) -> tuple[TableContents, ...]:
    """Of every table; the caller is in a transaction whose snapshot is one for all."""
    connection.execute(_SETTINGS)
    return tuple(_read(connection, *found[1:]) for found in connection.execute(_TABLES).fetchall())


def _read(
    connection: Connection, schema: str, table: str, columns: Sequence[str], key: Sequence[str], collated: Sequence[str]
) -> TableContents:
    digest = hashlib.sha256("\t".join(columns).encode() + b"\n")
    rows = 0
    with connection.cursor().copy(_copy(schema, table, columns, key, collated)) as copy:
        for block in copy:
            digest.update(block)
            # What is a line break in a value is written otherwise.
            rows += bytes(block).count(b"\n")
    return TableContents(f"{schema}.{table}", rows, digest.hexdigest())


def _copy(schema: str, table: str, columns: Sequence[str], key: Sequence[str], collated: Sequence[str]) -> sql.Composed:
    by_bytes = sql.SQL('{} COLLATE "C"')
    if key:
        parts: list[sql.Composable] = [
            by_bytes.format(sql.Identifier(name)) if name in collated else sql.Identifier(name) for name in key
        ]
    else:
        parts = [by_bytes.format(sql.SQL("t::text"))]
    return sql.SQL("COPY (SELECT {} FROM ONLY {} AS t ORDER BY {}) TO STDOUT").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, table), sql.SQL(", ").join(parts)
    )


def read_sequences(connection: Connection) -> dict[str, int]:
    """By SCHEMA.SEQUENCE, the last number that each gave; those that gave none are left out.

    Numbers are given outside any transaction, so a dump holds these or later ones.
    """
    rows = connection.execute(
        "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL ORDER BY 1"
    )
    return {name: int(last) for name, last in rows}


def differences(
    expected: Sequence[TableContents], found: Sequence[TableContents], least: Mapping[str, int], last: Mapping[str, int]
) -> Iterator[str]:
    """A sentence for each table, and each sequence, that is not what it was."""
    by_name = {table.name: table for table in found}
    for table in expected:
        other = by_name.pop(table.name, None)
        if other is None:
            yield f"the table {table.name} is missing"
        elif other.rows != table.rows:
            yield f"the table {table.name} has {other.rows} rows, and had {table.rows}"
        elif other != table:
            yield f"the table {table.name} has as many rows as it had, and others"
    yield from (f"there is a table {name} that was not there" for name in by_name)
    for name, value in least.items():
        if last.get(name, 0) < value:
            yield f"the sequence {name} would give numbers again that it has given"
