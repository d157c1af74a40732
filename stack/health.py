"""What the service's /health says of itself, as far as it says it: each part may be missing."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten

LONGEST_FAULT = 240
# What the service says of the database in its first instant: no cause yet.
NOT_CHECKED = "not checked yet"
UPGRADE = "alembic upgrade head"
# Whatever the time brings, these do not become a migrated schema by themselves.
MIGRATION_ENDS = {
    "failed": "the migration failed, and the lines above say why",
    "not_possible": "the service may not migrate this database",
}


@dataclass(frozen=True)
class Health:
    """Texts in one line each, empty where /health says nothing or nothing is wrong."""

    database_fault: str = ""
    schema_fault: str = ""
    solution: str = ""
    migration: str = ""

    def describe(self) -> str:
        """Why it is not ready, in one short line; empty when no cause is told."""
        fault = f"the database: {self.database_fault}" if self.database_fault else self.schema_fault
        if not fault or self.database_fault == NOT_CHECKED:
            return ""
        migration = f" (migration: {self.migration})" if self.migration else ""
        return f"not ready: {shorten(fault, LONGEST_FAULT, placeholder=' …')}{migration}"

    def why_waiting_is_vain(self) -> str:
        """Why nothing changes until a person does something; empty when it may still become ready."""
        if self.migration == "not_needed" and self.schema_fault and not self.database_fault:
            return "no revision is missing, so that no migration would mend this"
        return MIGRATION_ENDS.get(self.migration, "")

    def what_to_do(self, alembic: str | None) -> str:
        """The solution as it can be typed; `alembic` is how to call it here, None to leave it as it is told."""
        solution = self.solution or ("" if self.database_fault else UPGRADE)
        if alembic is None:
            return solution
        return re.sub(r"\balembic (?=upgrade|stamp)", lambda _: f"{alembic} ", solution)


def read_health(body: str) -> Health:
    """From the JSON of /health; an empty Health from anything else."""
    try:
        told = json.loads(body)
    except ValueError:
        return Health()
    checks = _part(told, "checks")
    database, schema = _part(checks, "database"), _part(checks, "schema")
    schema_fault = ": ".join(filter(None, (_line(schema, "state"), _line(schema, "cause"))))
    return Health(
        database_fault=_line(database, "detail")
        or ("it cannot be used" if _line(database, "status") == "fail" else ""),
        schema_fault="" if _line(schema, "status") == "ok" else schema_fault,
        solution=_line(schema, "solution"),
        migration=_line(schema, "migration"),
    )


def _part(whole: object, name: str) -> Mapping[str, object]:
    part = whole.get(name) if isinstance(whole, dict) else None
    return part if isinstance(part, dict) else {}


def _line(part: Mapping[str, object], name: str) -> str:
    text = part.get(name)
    return " ".join(text.split()) if isinstance(text, str) else ""
