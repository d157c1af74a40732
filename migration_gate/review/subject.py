"""What a rule is given: one new revision and all that may be asked about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql

from migration_gate.phases import Declared, Phase, created_tables, phase_of
from migration_gate.review.findings import Code, Finding, Level
from migration_gate.review.migration_file import MigrationFile
from migration_gate.review.rendered import Rendered, Statement
from migration_gate.sql_changes import Change


@dataclass(frozen=True)
class Models:
    """What env.py's models tell of tables: primary keys, and the types of columns, both by folded names."""

    keys: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def key_of(self, table: str) -> str:
        """The column that a table is walked by: its primary key where that is a single one."""
        return self.keys.get(table, "id")


def read_models(metadata: Sequence[MetaData]) -> Models:
    """What the models say; tables without a primary key of one column are left out of `keys`."""
    keys: dict[str, str] = {}
    types: dict[tuple[str, str], str] = {}
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for each in metadata:
        for table in each.tables.values():
            name = table.name if table.schema in (None, "public") else f"{table.schema}.{table.name}"
            if len(table.primary_key.columns) == 1:
                keys[name] = next(iter(table.primary_key.columns)).name
            for column in table.columns:
                types[name, column.name] = column.type.compile(dialect=dialect)
    return Models(keys, types)


@dataclass(frozen=True)
class Subject:
    """A new revision: its SQL, its file, what it declares, and the revisions that it descends from, oldest first.

    `proven_code` is the oldest head whose own tests have passed on the schema after it.
    """

    rendered: Rendered
    file: MigrationFile
    declared: Declared
    history: Sequence[Rendered] = ()
    models: Models = field(default_factory=Models)
    proven_code: str | None = None

    @property
    def names_older_code(self) -> bool:
        """Whether a database that has this revision can tell which older code runs on it."""
        return (self.declared.minimum_code or self.proven_code) is not None

    @property
    def id(self) -> str:
        return self.rendered.id

    @cached_property
    def created(self) -> frozenset[str]:
        """The tables that this revision creates itself: nobody waits for them."""
        return created_tables(self.rendered.changes)

    @cached_property
    def phase(self) -> Phase:
        return self.declared.phase or phase_of(statement.sql for statement in self.rendered.statements)

    def type_of(self, table: str, column: str) -> str | None:
        """A column's type, from the models or the revision that made it; None where neither tells."""
        if known := self.models.types.get((table, column)):
            return known
        for change in reversed([change for one in [*self.history, self.rendered] for change in one.changes]):
            if change.on == table and change.verb in {"create table", "add column"}:
                found = re.search(rf'[(,\s]"?{re.escape(column)}"?\s+(\w[^,]*?)(?:,|\)?\s*$)', change.text)
                if found:
                    return re.split(r"\s+(?:NOT|NULL|DEFAULT|GENERATED|PRIMARY|UNIQUE|CHECK)\b", found[1])[0].strip()
        return None

    def proves_not_null(self, change: Change) -> bool:
        """Whether a valid check already says that a column holds no NULL: SET NOT NULL then reads no row."""
        says_so = re.compile(rf'\(\s*"?{re.escape(change.name)}"?\s+IS\s+NOT\s+NULL\s*\)', re.IGNORECASE)
        valid: set[str] = set()
        waiting: set[str] = set()
        for each in [*(change for one in self.history for change in one.changes), *self.rendered.changes]:
            if each.on != change.on:
                continue
            if each.verb == "add check" and says_so.search(each.text):
                (waiting if each.not_valid else valid).add(each.name)
            elif each.verb == "validate constraint" and each.name in waiting:
                valid.add(each.name)
            elif each.verb == "drop constraint" and each is not change:
                # The one that is dropped once NOT NULL stands comes after it.
                valid.discard(each.name)
            if each is change:
                return bool(valid)
        return bool(valid)

    def finding(
        self,
        rule: str,
        level: Level,
        message: str,
        *,
        at: Statement | int,
        advice: str = "",
        rewrite: tuple[Code, ...] = (),
    ) -> Finding:
        """A finding of this revision, at a statement or a line of its file."""
        return Finding(
            rule=rule,
            level=level,
            message=message,
            revision=self.id,
            file=str(self.rendered.path),
            line=at if isinstance(at, int) else at.line,
            statement="" if isinstance(at, int) else at.sql,
            advice=advice,
            rewrite=rewrite,
        )
