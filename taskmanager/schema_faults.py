"""When a statement meets another schema than the one that the gate has judged.

The gate looks every second, and proves the statements every few. A table that is dropped in between would make
requests fail; the first of them makes the gate look at once.
"""

from __future__ import annotations

import logging

import asyncpg
from fastapi import FastAPI, Request, Response

from migration_gate.gate import RETRY_AFTER_S, Mode
from migration_gate.states import RULES, State
from taskmanager.dispatch.admission import method_label
from taskmanager.dispatch.route_table import route_path
from taskmanager.observability import sentry
from taskmanager.observability.fault import sqlstate_of
from taskmanager.observability.privacy import told
from taskmanager.problems import answer

logger = logging.getLogger(__name__)

# Undefined table, column, function or schema; a column of another type; no privilege.
_OF_THE_SCHEMA = frozenset({"42P01", "42703", "42883", "3F000", "42804", "42501"})


def install(app: FastAPI) -> None:
    """Answer such a fault with 503 while the gate is enforced; without it, it stays the 500 that it is in life."""
    app.add_exception_handler(asyncpg.PostgresError, _on_postgres_error)


async def _on_postgres_error(request: Request, error: Exception) -> Response:
    state = request.app.state
    if sqlstate_of(error) not in _OF_THE_SCHEMA:
        raise error
    state.probe.distrust()
    state.watcher.check_soon()
    if state.settings.schema_gate is not Mode.ENFORCE:
        raise error
    code = State.STATEMENT_BROKEN
    status = state.watcher.verdict.status
    fields = {
        "code": code.value,
        "db.response.status_code": sqlstate_of(error),
        "database_revisions": list(status.database_revisions),
        "code_heads": list(status.code_heads),
    }
    logger.warning("a statement met another schema: %s", told(error), extra=fields)
    entry, _ = state.front_door.routes.find(route_path(request.scope))
    path = entry.path if entry is not None else None
    tags = {"http.route": path, "http.request.method": method_label(request.method)}
    sentry.report(error, code=code.value, tags=tags)
    detail = f"{RULES[code].title}: the schema has just changed. The gate is looking again; so try again."
    return answer(request, 503, code.value, detail, {"Retry-After": str(RETRY_AFTER_S)})
