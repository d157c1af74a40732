"""The tables that speak of the schema: Alembic's version table, and the ledger's beside it."""

from __future__ import annotations

from dataclasses import dataclass

IDENTITY_TABLE = "migration_gate_ledger"
REVISION_TABLE = "migration_gate_revision"
RUN_TABLE = "migration_gate_run"
STEP_TABLE = "migration_gate_step"
OVERRIDE_TABLE = "migration_gate_override"
LEDGER_TABLES = frozenset({IDENTITY_TABLE, REVISION_TABLE, RUN_TABLE, STEP_TABLE, OVERRIDE_TABLE})


@dataclass(frozen=True)
class VersionTable:
    """Where Alembic keeps its revisions: `version_table` and `version_table_schema` of its configuration."""

    name: str = "alembic_version"
    schema: str | None = None

    def beside(self, table: str) -> str:
        """The quoted name of another table in the same schema."""
        return quote(table) if self.schema is None else f"{quote(self.schema)}.{quote(table)}"

    @property
    def qualified(self) -> str:
        return self.beside(self.name)


def quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
