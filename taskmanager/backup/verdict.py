"""The gate's verdict on a database: the same as `taskmanager status` gives."""

from __future__ import annotations

import asyncio

from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.status import SchemaStatus
from taskmanager.schema_verdict import ask
from taskmanager.tasks.statements import STATEMENTS

# A database that was restored a moment ago has cold caches; nobody waits for this answer.
_TIMEOUT_S = 15.0


def verdict(url: str) -> SchemaStatus:
    """As the address's role sees it, every statement of the service proven."""
    return asyncio.run(ask(PsycopgProbe(url, statements=STATEMENTS, timeout_s=_TIMEOUT_S)))
