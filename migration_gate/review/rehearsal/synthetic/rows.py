"""One table's rows as one INSERT … SELECT over generate_series."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.catalog import Relation
from migration_gate.review.rehearsal.source import ColumnFacts
from migration_gate.review.rehearsal.synthetic.choice import Choice, choose
from migration_gate.review.rehearsal.synthetic.columns import Column, ForeignKey, Table
from migration_gate.tables import quote

# Where a condition joins several columns, most combinations may be refused: so many are tried for one row.
TRIES = 30
MOST_ALTERNATIVES = 5
# Different for each column, so that values of two columns do not always come together.
PRIMES = (1, 7919, 104_729, 15_485_863, 32_452_843, 49_979_687, 67_867_967, 86_028_121)


class NotPossible(Exception):
    """No row of this table can be made; the text says why."""


class Rows:
    """The statements that fill one table.

    Raises
    ------
    NotPossible: a required column takes no shape that is known, or refers to a table without rows.
    """

    def __init__(
        self, session: Connection, relation: Relation, table: Table, facts: Mapping[str, ColumnFacts], wanted: int
    ) -> None:
        self._session = session
        self._name = sql.Identifier(relation.schema, relation.name).as_string(session)
        self._table = table
        self._facts = facts
        self._wanted = wanted
        self._keys: dict[str, str] = {}  # column: its expression over a joined table of keys
        self._joins: list[str] = []
        for key in table.foreign_keys:
            self._refer(key)
        written = [column for column in table.columns if not column.own_value or column.name in self._keys]
        self._overriding = not written
        if self._overriding:
            # All that such a table has is its own numbers.
            written = [column for column in table.columns if not column.generated]
        self._columns = {column.name: self._expression(column) for column in written}

    @property
    def analyze(self) -> bytes:
        return f"ANALYZE {self._name}".encode()

    def insert(self, count: int, first: int, *, skipping: bool) -> bytes:
        """The INSERT of up to `count` rows, numbered from `first` on; `skipping` passes over what is not unique."""
        names = [quote(name) for name in self._columns]
        made = ", ".join(f"{text} AS {name}" for name, text in zip(names, self._columns.values(), strict=True))
        checks = [check for check in self._table.checks if check.columns <= self._columns.keys()]
        conditions = " AND ".join(f"({check.expression}) IS NOT FALSE" for check in checks) or "true"
        last = first + count * (TRIES if checks else 1) - 1
        statement = (
            f"INSERT INTO {self._name} ({', '.join(names)}){' OVERRIDING SYSTEM VALUE' if self._overriding else ''}"
            f" SELECT {', '.join(names)} FROM (SELECT {made} FROM generate_series({first}::bigint, {last}) g"
            f" {' '.join(self._joins)} OFFSET 0) made WHERE {conditions} LIMIT {count}"
            f"{' ON CONFLICT DO NOTHING' if skipping else ''}"
        )
        return statement.encode()

    def _refer(self, key: ForeignKey) -> None:
        """Take a foreign key's values, all its columns together, from rows that are there."""
        columns = {column.name: column for column in self._table.columns}
        taken = self._keys.keys() & set(key.columns)
        required = any(columns[name].required for name in key.columns)
        generated = any(columns[name].generated for name in key.columns)
        if taken or generated:
            return
        count, keys = self._referenced(key) if key.target != self._table.oid else (0, "")
        if not count and required:
            raise NotPossible("it must refer to rows of a table that has none")
        if not count:
            self._keys |= {name: f"NULL::{columns[name].type.declared}" for name in key.columns}
            return
        number = self._key_number(key, count)
        self._joins.append(f"LEFT JOIN {keys} ON {keys}.n = {number}")
        nulls = None if required else self._null_condition(key.columns[0])
        for position, name in enumerate(key.columns):
            value = f"{keys}.k{position}"
            self._keys[name] = f"CASE WHEN {nulls} THEN NULL ELSE {value} END" if nulls else value

    def _referenced(self, key: ForeignKey) -> tuple[int, str]:
        """A temporary table of the keys that exist, numbered from 0, and how many there are."""
        name = f"migration_gate_keys_{self._table.oid}_{len(self._joins)}"
        parts = [quote(column) for column in key.target_columns]
        listed = ", ".join(f"{part} AS k{position}" for position, part in enumerate(parts))
        present = " AND ".join(f"{part} IS NOT NULL" for part in parts)
        target = self._session.execute("SELECT %s::oid::regclass::text", [key.target]).fetchone()
        made = self._session.execute(
            f"CREATE TEMPORARY TABLE {name} AS SELECT row_number() OVER () - 1 AS n, {listed}"
            f" FROM {target[0] if target else ''} WHERE {present} LIMIT {self._wanted}".encode()
        )
        self._session.execute(f"CREATE UNIQUE INDEX ON {name} (n); ANALYZE {name}".encode())
        return made.rowcount, name

    def _key_number(self, key: ForeignKey, count: int) -> str:
        """Which key the row numbered g refers to. Two keys that are unique together run through all their pairs."""
        unique = [names for names in self._table.unique if names & set(key.columns)]
        if any(len(names) == len(key.columns) for names in unique):
            return f"(g.g - 1) % {count}"
        if unique:
            step = self._stride
            self._stride *= count
            return f"(g.g - 1) / {step} % {count}"
        distinct = min(count, self._distinct(key.columns[0]))
        return f"(g.g * {PRIMES[len(self._joins) % len(PRIMES)]}) % {distinct}"

    _stride = 1

    def _expression(self, column: Column) -> str:
        if column.name in self._keys:
            return self._keys[column.name]
        if self._overriding:
            return f"(g.g)::{column.type.declared}"
        position = [other.name for other in self._table.columns].index(column.name)
        unique = any(column.name in names for names in self._table.unique)
        choice = choose(self._session, column, self._table.checks, unique=unique)
        if not choice.shapes and column.required:
            raise NotPossible(f"no value is known that its column {column.name} ({column.type.declared}) accepts")
        number = "(g.g)"
        if not unique:
            distinct = self._distinct(column.name)
            number = f"(1 + (g.g * {PRIMES[position % len(PRIMES)]}) % {distinct})"
        value = self._alternatives(choice, number, position)
        nulls = None if column.required else self._null_condition(column.name)
        return f"CASE WHEN {nulls} THEN NULL ELSE {value} END" if nulls else value

    def _alternatives(self, choice: Choice, number: str, position: int) -> str:
        """One shape; several in turn where a condition joins the column with others, and NULL among them."""
        null = f"NULL::{choice.column.type.declared}"
        if not choice.shapes:
            return null
        joined = any(choice.column.name in check.columns and len(check.columns) > 1 for check in self._table.checks)
        if not joined:
            return choice.shapes[0].of(number)
        values = [shape.of(number) for shape in choice.shapes[:MOST_ALTERNATIVES]]
        if not choice.column.required:
            values.append(null)
        # Each column turns at a speed of its own, so that in time every combination comes.
        turn = f"(g.g * {2 * position + 1} + g.g / {3 + position}) % {len(values)}"
        cases = " ".join(f"WHEN {place} THEN {value}" for place, value in enumerate(values))
        return f"CASE {turn} {cases} END"

    def _null_condition(self, column: str) -> str | None:
        known = self._facts.get(column)
        if known is None or known.null_frac <= 0:
            return None
        return f"(g.g * 7907) % 1000 < {round(known.null_frac * 1000)}"

    def _distinct(self, column: str) -> int:
        """How many different values: pg_stats gives their number, or, below zero, their share of the rows."""
        known = self._facts.get(column)
        if known is None or known.n_distinct == 0:
            return max(1, self._wanted)
        count = known.n_distinct if known.n_distinct > 0 else -known.n_distinct * self._wanted
        return max(1, min(self._wanted, round(count)))
