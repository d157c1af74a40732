"""Which shapes fit a column: each is tried on the server against the column's own type and constraints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from migration_gate.review.rehearsal.addresses import Connection
from migration_gate.review.rehearsal.synthetic.columns import Check, Column
from migration_gate.review.rehearsal.synthetic.shapes import Shape, shapes
from migration_gate.tables import quote

SAMPLES = 40


@dataclass(frozen=True)
class Choice:
    """The shapes that fit, best first. Empty where none does: then only NULL is left, where it may be."""

    column: Column
    shapes: tuple[Shape, ...]


def choose(session: Connection, column: Column, checks: Sequence[Check], *, unique: bool) -> Choice:
    """Try all shapes. Checks that name other columns too are not judged here: rows that fail them are thrown away.

    A value that is one of several that a constraint lists is made from all that fit, so that a status, say,
    takes each of its values.
    """
    own = [check for check in checks if check.columns == {column.name}]
    quoted = " ".join([column.domain_checks, *(check.expression for check in checks if column.name in check.columns)])
    fits = {shape: _fitting(session, column, shape, own) for shape in shapes(column.type, quoted)}
    found = sorted((shape for shape, fit in fits.items() if fit.share), key=lambda shape: -fits[shape].share)
    if unique:
        found.sort(key=lambda shape: (fits[shape].share < 1, -fits[shape].values, not shape.distinct))
        return Choice(column, tuple(found))
    # A constant is a last resort, but several of them are a list that a constraint allows.
    found.sort(key=lambda shape: (fits[shape].share < 1, "{g}" not in shape.text))
    listed = [shape.text for shape in found if fits[shape].share == 1 and "{g}" not in shape.text]
    if len(listed) > 1 and found[0].text in listed:
        found.insert(0, Shape(f"(ARRAY[{', '.join(listed)}])[1 + {{g}} % {len(listed)}]"))
    return Choice(column, tuple(found))


@dataclass(frozen=True)
class _Fit:
    """The share of sample values that are accepted, between 0 and 1, and how many different ones there are."""

    share: float
    values: int


def _fitting(session: Connection, column: Column, shape: Shape, checks: Iterable[Check]) -> _Fit:
    conditions = " AND ".join(f"({check.expression}) IS NOT FALSE" for check in checks) or "true"
    name = quote(column.name)
    query = (
        # The values are counted as texts so that each is made: PostgreSQL skips what nobody looks at.
        f"SELECT count(*) FILTER (WHERE {conditions}), count(DISTINCT {name}::text)"
        f" FROM (SELECT {shape.of('g')} AS {name} FROM generate_series(1, {SAMPLES}) g) made"
    )
    try:
        with session.transaction():
            row = session.execute(query.encode()).fetchone()
    except psycopg.Error:
        # A domain's check refuses the value, the type cannot be written so, or the check calls what is not there.
        return _Fit(0, 0)
    return _Fit(int(str(row[0])) / SAMPLES, int(str(row[1]))) if row else _Fit(0, 0)
