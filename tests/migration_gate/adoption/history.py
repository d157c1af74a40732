"""Three hundred revisions as a fleet's service gathers them over years, and the models that they end in.

Two labelled branches in two folders, `core` and `telemetry`, the second with a base of its own that depends on a
revision of the first; a merge of the two; and what came since. The kinds of change take turns, so that every run
writes the very same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

CORE, TELEMETRY = "core", "telemetry"
SCHEMAS = {CORE: "fleet", TELEMETRY: "telemetry"}

CORE_REVISIONS = 180
TELEMETRY_REVISIONS = 100
SINCE_THE_MERGE = 19
REVISIONS = CORE_REVISIONS + TELEMETRY_REVISIONS + 1 + SINCE_THE_MERGE

_TYPES = (
    "sa.Text()",
    "sa.Integer()",
    "sa.DateTime(timezone=True)",
    "sa.Numeric(10, 2)",
    "sa.String(40)",
    "postgresql.JSONB()",
    "sa.Boolean()",
)
_NOUNS = ("vehicle", "driver", "trip", "depot", "fuel_stop", "inspection", "contract", "tyre", "invoice", "route")


@dataclass(frozen=True)
class Revision:
    """A migration file before it is written. The bodies are the text of its functions."""

    id: str
    parents: tuple[str, ...]
    branch: str
    slug: str
    upgrade: str
    downgrade: str
    label: str | None = None
    depends_on: str | None = None

    @property
    def text(self) -> str:
        down = "None" if not self.parents else repr(self.parents[0] if len(self.parents) == 1 else self.parents)
        label = f'("{self.label}",)' if self.label else "None"
        upgrade, downgrade = (_indented(body) for body in (self.upgrade, self.downgrade))
        return (
            f'"""{self.slug.replace("_", " ")}\n\nRevision ID: {self.id}\n"""\n\n'
            "from typing import Sequence, Union\n\nfrom alembic import op\nimport sqlalchemy as sa\n"
            "from sqlalchemy.dialects import postgresql\n\n\n"
            f"revision: str = {self.id!r}\ndown_revision: Union[str, Sequence[str], None] = {down}\n"
            f"branch_labels: Union[str, Sequence[str], None] = {label}\n"
            f"depends_on: Union[str, Sequence[str], None] = {self.depends_on!r}\n\n\n"
            f"def upgrade() -> None:\n{upgrade}\n\n\ndef downgrade() -> None:\n{downgrade}\n"
        )


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in body.splitlines())


@dataclass
class _Table:
    schema: str
    name: str
    columns: dict[str, str] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    defaults: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


class History:
    """All revisions in an order in which they can be applied, and the models that fit the last of them."""

    def __init__(self) -> None:
        self._tables: dict[str, list[_Table]] = {CORE: [], TELEMETRY: []}
        self._number = 0
        self.revisions: list[Revision] = list(self._write())

    @property
    def head(self) -> str:
        return self.revisions[-1].id

    def table(self, schema: str) -> str:
        """The qualified name of a table in one of the schemas."""
        return next(each.qualified for tables in self._tables.values() for each in tables if each.schema == schema)

    def _write(self) -> Iterator[Revision]:
        core = list(self._line(CORE, CORE_REVISIONS, (), CORE, None))
        yield from core
        telemetry = list(self._line(TELEMETRY, TELEMETRY_REVISIONS, (), TELEMETRY, core[40].id))
        yield from telemetry
        heads = (core[-1].id, telemetry[-1].id)
        merge = Revision(_id("merge", 0), heads, CORE, "merge_telemetry_into_core", "pass", "pass")
        yield merge
        yield from self._line(CORE, SINCE_THE_MERGE, (merge.id,), None, None)

    def _line(
        self, branch: str, many: int, parents: tuple[str, ...], label: str | None, depends_on: str | None
    ) -> Iterator[Revision]:
        for position in range(many):
            self._number += 1
            slug, upgrade, downgrade = self._change(branch, self._number)
            revision = Revision(
                _id(branch, self._number),
                parents,
                branch,
                slug,
                upgrade,
                downgrade,
                label=label if position == 0 else None,
                depends_on=depends_on if position == 0 else None,
            )
            yield revision
            parents = (revision.id,)

    def _change(self, branch: str, number: int) -> tuple[str, str, str]:
        tables = self._tables[branch]
        kind = number % 8
        if not tables or kind == 0:
            return self._create(branch, number)
        table = tables[number % len(tables)]
        if kind in {1, 2}:
            return _add_column(table, number)
        if kind == 3:
            return _create_index(table, number)
        if kind == 4:
            return _create_index_concurrently(table, number)
        if kind == 5:
            return _backfill(table, number)
        if kind == 6:
            return _add_column_with_default(table, number)
        return _add_check(table, number)

    def _create(self, branch: str, number: int) -> tuple[str, str, str]:
        name = f"{_NOUNS[number % len(_NOUNS)]}_{number}"
        table = _Table(SCHEMAS[branch], name, {"name": "sa.Text()"}, required={"name"})
        first = "" if self._tables[branch] else f'op.execute("CREATE SCHEMA IF NOT EXISTS {table.schema}")\n'
        reference = ""
        if branch == TELEMETRY:
            target = self._tables[CORE][number % 3]
            table.columns["core_id"] = "sa.BigInteger()"
            table.references["core_id"] = target.qualified
            reference = (
                '    sa.Column("core_id", sa.BigInteger(), nullable=True),\n'
                f'    sa.ForeignKeyConstraint(["core_id"], ["{target.qualified}.id"], name="fk_{name}_core_id"),\n'
            )
        self._tables[branch].append(table)
        upgrade = (
            f'{first}created = op.create_table(\n    "{name}",\n'
            '    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),\n'
            f'    sa.Column("name", sa.Text(), nullable=False),\n{reference}'
            f'    sa.PrimaryKeyConstraint("id", name="pk_{name}"),\n    schema="{table.schema}",\n)\n'
            f'op.bulk_insert(created, [{{"name": "first"}}, {{"name": "50% of {name}"}}])'
        )
        return f"create_{name}", upgrade, f'op.drop_table("{name}", schema="{table.schema}")'

    @property
    def models(self) -> str:
        """The text of a module with declarative models."""
        top = (
            "import sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql\n"
            "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase):\n    pass\n"
        )
        return "\n".join([top, *(_model(table) for tables in self._tables.values() for table in tables)])


def _id(branch: str, number: int) -> str:
    """Ids whose order says nothing of the history's."""
    return hashlib.sha256(f"{branch} {number}".encode()).hexdigest()[:12]


def _add_column(table: _Table, number: int) -> tuple[str, str, str]:
    name, type_ = f"detail_{number}", _TYPES[number % len(_TYPES)]
    table.columns[name] = type_
    column = f'sa.Column("{name}", {type_}, nullable=True)'
    return (
        f"add_{name}",
        f'op.add_column("{table.name}", {column}, schema="{table.schema}")',
        f'op.drop_column("{table.name}", "{name}", schema="{table.schema}")',
    )


def _add_column_with_default(table: _Table, number: int) -> tuple[str, str, str]:
    name = f"flag_{number}"
    table.columns[name], table.defaults[name] = "sa.Boolean()", 'sa.text("false")'
    table.required.add(name)
    column = f'sa.Column("{name}", sa.Boolean(), server_default=sa.text("false"), nullable=False)'
    return (
        f"add_{name}",
        f'op.add_column("{table.name}", {column}, schema="{table.schema}")',
        f'op.drop_column("{table.name}", "{name}", schema="{table.schema}")',
    )


def _create_index(table: _Table, number: int) -> tuple[str, str, str]:
    name = f"ix_{table.name}_{number}"
    table.indexes[name] = "name"
    return (
        f"index_{table.name}",
        f'op.create_index("{name}", "{table.name}", ["name"], schema="{table.schema}")',
        f'op.drop_index("{name}", "{table.name}", schema="{table.schema}")',
    )


def _create_index_concurrently(table: _Table, number: int) -> tuple[str, str, str]:
    name = f"ix_{table.name}_{number}"
    table.indexes[name] = "id"
    options = f'schema="{table.schema}", postgresql_concurrently=True'
    block = "with op.get_context().autocommit_block():\n    "
    return (
        f"index_{table.name}_concurrently",
        f'{block}op.create_index("{name}", "{table.name}", ["id"], {options})',
        f'{block}op.drop_index("{name}", "{table.name}", {options})',
    )


def _backfill(table: _Table, number: int) -> tuple[str, str, str]:
    """In batches, by reading rows first, as data migrations do."""
    upgrade = (
        f"rows = sa.table(\"{table.name}\", sa.column('id'), sa.column('name'), schema=\"{table.schema}\")\n"
        "connection = op.get_bind()\n"
        "for id_, name in connection.execute(sa.select(rows.c.id, rows.c.name).order_by(rows.c.id)).all():\n"
        "    connection.execute(rows.update().where(rows.c.id == id_).values(name=name.strip()))"
    )
    return f"backfill_{table.name}", upgrade, "pass"


def _add_check(table: _Table, number: int) -> tuple[str, str, str]:
    name = f"ck_{table.name}_{number}"
    sql = f"ALTER TABLE {table.qualified} ADD CONSTRAINT {name} CHECK (name <> '') NOT VALID"
    upgrade = f'op.execute("{sql}")\nop.execute("ALTER TABLE {table.qualified} VALIDATE CONSTRAINT {name}")'
    return f"check_{table.name}", upgrade, f'op.drop_constraint("{name}", "{table.name}", schema="{table.schema}")'


def _model(table: _Table) -> str:
    lines = [
        f"\nclass {''.join(part.title() for part in table.name.split('_'))}(Base):",
        f'    __tablename__ = "{table.name}"',
        "    __table_args__ = (",
        *(f'        sa.Index("{name}", "{column}"),' for name, column in table.indexes.items()),
        f'        {{"schema": "{table.schema}"}},\n    )',
        "    id = sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True)",
    ]
    for name, type_ in table.columns.items():
        more = f', sa.ForeignKey("{table.references[name]}.id")' if name in table.references else ""
        default = f", server_default={table.defaults[name]}" if name in table.defaults else ""
        lines.append(f"    {name} = sa.Column({type_}{more}, nullable={name not in table.required}{default})")
    return "\n".join(lines) + "\n"
