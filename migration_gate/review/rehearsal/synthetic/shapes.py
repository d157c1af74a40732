"""Values by type: SQL expressions over a running number, most ordinary first.

A shape is a text with `{g}` where the number, a bigint from 1 on, goes. Which of a type's shapes fit a column is not
guessed here: `columns` tries them against the column's own constraints, on the server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

_STRING = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(?<![\w.'-])-?\d+(?:\.\d+)?(?![\w.'])")


@dataclass(frozen=True)
class Shape:
    """`distinct` tells whether different numbers give different values, for as many rows as are ever made."""

    text: str
    distinct: bool = False

    def of(self, number: str) -> str:
        return self.text.replace("{g}", number)


@dataclass(frozen=True)
class Type:
    """A column's type, domains resolved. `declared` is how a cast writes it, `base` the underlying type's name.

    `kind` is pg_type.typtype of the base, `size` what stands in its parentheses, `element` the type of an
    array's elements.
    """

    declared: str
    base: str
    kind: str
    size: tuple[int, ...] = ()
    element: Type | None = None


_TEXTS = (
    Shape("'text ' || {g}", distinct=True),
    Shape("'person' || {g} || '@example.com'", distinct=True),
    Shape("'https://example.com/' || {g}", distinct=True),
    Shape("'name-' || {g}", distinct=True),
    Shape("'name_' || {g}", distinct=True),
    Shape("'N' || {g}", distinct=True),
    Shape("lpad({g}::text, 8, '0')", distinct=True),
    Shape("'+44' || lpad({g}::text, 10, '0')", distinct=True),
    Shape("md5({g}::text)", distinct=True),
    Shape("upper(md5({g}::text))", distinct=True),
    Shape("md5({g}::text)::uuid::text", distinct=True),
    Shape("'/' || {g}", distinct=True),
    Shape("'1.0.' || {g}", distinct=True),
    Shape("'10.' || ({g} / 65536 % 256) || '.' || ({g} / 256 % 256) || '.' || ({g} % 256)", distinct=True),
    Shape("'#' || lpad(to_hex({g} % 16777216), 6, '0')", distinct=True),
    Shape("chr((65 + {g} / 676 % 26)::int) || chr((65 + {g} / 26 % 26)::int) || chr((65 + {g} % 26)::int)"),
    Shape("chr((65 + {g} / 26 % 26)::int) || chr((65 + {g} % 26)::int)"),
    Shape("chr((97 + {g} / 26 % 26)::int) || chr((97 + {g} % 26)::int)"),
    Shape("translate({g}::text, '0123456789', 'abcdefghij')", distinct=True),
    Shape("(date '2020-01-01' + ({g} % 3650)::int)::text"),
    Shape("chr((65 + {g} % 26)::int)"),
    Shape("({g} % 10)::text"),
    Shape("''"),
)

_NUMBERS = (
    Shape("{g}", distinct=True),
    Shape("1 + {g} % 100"),
    Shape("1 + {g} % 5"),
    Shape("0"),
    Shape("1"),
    Shape("-{g}", distinct=True),
    Shape("1000000 + {g}", distinct=True),
)
_FRACTIONS = (Shape("({g} % 100) / 100.0"), Shape("(({g} % 359) - 179) / 2.0"))

_MOMENTS = (
    Shape("timestamptz '2020-01-01 00:00:00+00' + {g} * interval '1 minute'", distinct=True),
    Shape("timestamptz '2100-01-01 00:00:00+00' + {g} * interval '1 minute'", distinct=True),
    Shape("timestamptz '1990-01-01 00:00:00+00' + {g} * interval '1 minute'", distinct=True),
)

_BY_NAME: dict[str, tuple[Shape, ...]] = {
    "bool": (Shape("{g} % 2 = 0"), Shape("true"), Shape("false")),
    "int2": (Shape("1 + {g} % 32000"), Shape("1 + {g} % 100"), Shape("1 + {g} % 5"), Shape("0"), Shape("1")),
    "int4": _NUMBERS,
    "int8": _NUMBERS,
    "oid": _NUMBERS[:1],
    "float4": (*_FRACTIONS, *_NUMBERS),
    "float8": (Shape("{g}::float8", distinct=True), *_FRACTIONS, *_NUMBERS),
    "money": (Shape("({g} % 100000)::numeric::money"),),
    "uuid": (Shape("md5({g}::text)::uuid", distinct=True),),
    "date": (
        Shape("date '2020-01-01' + {g}::int", distinct=True),
        Shape("date '2020-01-01' + ({g} % 1500)::int"),
        Shape("date '1990-01-01' + ({g} % 9000)::int"),
    ),
    "timestamptz": _MOMENTS,
    "timestamp": tuple(Shape(f"({shape.text}) AT TIME ZONE 'UTC'", distinct=True) for shape in _MOMENTS),
    "time": (Shape("time '00:00' + {g} * interval '1 second'"),),
    "timetz": (Shape("(time '00:00' + {g} * interval '1 second')::timetz"),),
    "interval": (Shape("{g} * interval '1 second'", distinct=True),),
    "json": (
        Shape("json_build_object('n', {g})"),
        Shape("json_build_array({g})"),
        Shape("'{}'"),
        Shape("to_json({g})"),
    ),
    "jsonb": (
        Shape("jsonb_build_object('n', {g})", distinct=True),
        Shape("jsonb_build_array({g})", distinct=True),
        Shape("'{}'"),
        Shape("to_jsonb('text ' || {g})", distinct=True),
        Shape("to_jsonb({g})", distinct=True),
    ),
    "bytea": (Shape("decode(md5({g}::text), 'hex')", distinct=True), Shape("''")),
    "inet": (Shape("'10.0.0.0'::inet + {g}", distinct=True),),
    "cidr": (Shape("('10.0.0.0'::inet + {g})::cidr", distinct=True),),
    "macaddr": (Shape("lpad(to_hex({g}), 12, '0')::macaddr", distinct=True),),
    "macaddr8": (Shape("lpad(to_hex({g}), 16, '0')::macaddr8", distinct=True),),
    "tsvector": (Shape("to_tsvector('simple', 'text ' || {g})", distinct=True),),
    "tsquery": (Shape("('n' || {g})::tsquery", distinct=True),),
    "xml": (Shape("('<n>' || {g} || '</n>')::xml"),),
    "point": (Shape("point({g}, {g})"),),
    "box": (Shape("box(point({g}, {g}), point({g} + 1, {g} + 1))"),),
    "lseg": (Shape("lseg(point({g}, 0), point({g}, 1))"),),
    "line": (Shape("line(point({g}, 0), point({g}, 1))"),),
    "path": (Shape("path(polygon(box(point({g}, {g}), point({g} + 1, {g} + 1))))"),),
    "polygon": (Shape("polygon(box(point({g}, {g}), point({g} + 1, {g} + 1)))"),),
    "circle": (Shape("circle(point({g}, {g}), 1)"),),
    # Neighbours never overlap, as an exclusion constraint will ask for.
    "int4range": (Shape("int4range({g}::int, {g}::int + 1)", distinct=True),),
    "int8range": (Shape("int8range({g}, {g} + 1)", distinct=True),),
    "numrange": (Shape("numrange({g}, {g} + 1)", distinct=True),),
    "daterange": (Shape("daterange(date '2020-01-01' + {g}::int, date '2020-01-02' + {g}::int)", distinct=True),),
    "tstzrange": (
        Shape(
            "tstzrange(timestamptz '2020-01-01' + {g} * interval '1 minute',"
            " timestamptz '2020-01-01' + ({g} + 1) * interval '1 minute')",
            distinct=True,
        ),
    ),
    "tsrange": (
        Shape(
            "tsrange(timestamp '2020-01-01' + {g} * interval '1 minute',"
            " timestamp '2020-01-01' + ({g} + 1) * interval '1 minute')",
            distinct=True,
        ),
    ),
}
_CHARACTERS = {"text", "varchar", "bpchar", "citext", "name", "char"}
# What a type of an extension may be written from.
_UNKNOWN = (Shape("'n' || {g}", distinct=True), Shape("{g}::text", distinct=True), Shape("'{}'"), Shape("''"))


def shapes(type_: Type, constraints: str = "") -> tuple[Shape, ...]:
    """Candidates for a type, each cast to it. Literals that `constraints` quote come first, one shape for each."""
    plain = (*_quoted(type_, constraints), *_plain(type_))
    return tuple(Shape(f"({shape.text})::{type_.declared}", shape.distinct) for shape in plain)


def _plain(type_: Type) -> tuple[Shape, ...]:
    if type_.element is not None:
        first = _plain(type_.element)[:1]
        return (*(Shape(f"ARRAY[({s.text})::{type_.element.declared}]", s.distinct) for s in first), Shape("'{}'"))
    if type_.kind == "e":
        labels = f"enum_range(NULL::{type_.declared})"
        return (Shape(f"({labels})[1 + {{g}} % cardinality({labels})]"),)
    if type_.base in _CHARACTERS:
        return _texts(type_.size)
    if type_.base == "numeric":
        return _numerics(type_.size)
    if type_.base in {"bit", "varbit"}:
        return (Shape(f"({{g}})::bit({type_.size[0] if type_.size else 64})"),)
    return _BY_NAME.get(type_.base, _UNKNOWN)


def _texts(size: tuple[int, ...]) -> tuple[Shape, ...]:
    if not size:
        return _TEXTS
    limit = size[0]
    # Cut at the end, where the number stands, texts would all be alike.
    short = Shape(f"right(lpad({{g}}::text, {limit}, '0'), {limit})", distinct=limit >= 7)
    cut = tuple(Shape(f"left({shape.text}, {limit})", shape.distinct and limit >= 48) for shape in _TEXTS)
    return (short, *cut) if limit < 20 else (*cut, short)


def _numerics(size: tuple[int, ...]) -> tuple[Shape, ...]:
    if not size:
        return (*_NUMBERS, *_FRACTIONS)
    whole = size[0] - (size[1] if len(size) > 1 else 0)
    bound = 10 ** min(max(whole, 0), 15)
    return (
        Shape(f"{{g}} % {bound}", distinct=whole >= 8),
        *_FRACTIONS,
        Shape("0"),
        Shape(f"1 + {{g}} % {min(100, bound)}"),
    )


def _quoted(type_: Type, constraints: str) -> tuple[Shape, ...]:
    """Each literal, and what lies a little beyond it: the inner side of a bound."""
    strings = dict.fromkeys(match.replace("''", "'") for match in _STRING.findall(constraints))
    numbers = dict.fromkeys(_NUMBER.findall(constraints))
    found: list[Shape] = []
    for text in strings:
        written = sql.quote(text)
        found.append(Shape(written))
        if type_.base in {"timestamptz", "timestamp"}:
            found += [Shape(f"{written}::{type_.base} + ({{g}} % 3600) * interval '1 second'")]
        elif type_.base == "date":
            found.append(Shape(f"{written}::date + ({{g}} % 5)::int"))
    if type_.base in {"int2", "int4", "int8", "numeric", "float4", "float8"}:
        for number in numbers:
            found += [Shape(f"{number} + {{g}} % 5"), Shape(number), Shape(f"{number} + 1"), Shape(f"{number} - 1")]
    return tuple(found)
