"""Probes: may this process be restarted, may it get traffic, and what runs here.

None of them asks the database: they read the watcher's verdict, so they answer while the database hangs.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from migration_gate.gate import Mode
from migration_gate.start import Progress
from migration_gate.watch import Verdict
from taskmanager import __version__
from taskmanager.dispatch.direct_route import DirectRoute
from taskmanager.documentation import api_docs
from taskmanager.observability.health_documents import NOT_READY, Alive, Health, Version, probe

router = APIRouter(tags=["operations"], route_class=DirectRoute)

# Probes and scrapes come every second and tell nothing while all is well.
QUIET_PATHS = frozenset({"/health", "/livez", "/readyz", "/metrics"})

# What must answer in every state of the schema, and however much there is to do; the documentation too.
ALWAYS_PATHS = QUIET_PATHS | {"/version"} | api_docs.PATHS

# What no key is asked for.
PUBLIC_PATHS = ALWAYS_PATHS - {"/metrics"}

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/livez", operation_id="livez", summary="Is the process alive?", **probe(Alive, "It is"))
async def livez() -> JSONResponse:
    """200 as long as this process answers at all. The database plays no part: a restart would not mend it."""
    return JSONResponse({"status": "ok"}, headers=_NO_STORE)


@router.get(
    "/readyz", operation_id="readyz", summary="May this process get traffic?", **probe(Health, "It may", NOT_READY)
)
async def readyz(request: Request) -> JSONResponse:
    """200 when requests can be served, else 503; also 503 while the process winds down."""
    return _readiness(request.app, draining=request.app.state.service_state.draining)


@router.get("/health", operation_id="health", summary="Is the service healthy?", **probe(Health, "It is", NOT_READY))
async def health(request: Request) -> JSONResponse:
    """The readiness of the service with its version and its checks."""
    return _readiness(request.app)


@router.get("/version", operation_id="version", summary="What runs here?", **probe(Version, "This release"))
async def version(request: Request) -> JSONResponse:
    """The release, its commit where the build told it, and the schema revision that the code needs."""
    state = request.app.state
    heads = list(state.watcher.verdict.status.code_heads)
    content = {"version": __version__, "commit": state.settings.commit, "code_heads": heads}
    return JSONResponse(content, headers=_NO_STORE)


def _readiness(app: FastAPI, *, draining: bool = False) -> JSONResponse:
    verdict: Verdict = app.state.watcher.verdict
    mode: Mode = app.state.settings.schema_gate
    checks = {"database": _database_check(verdict)}
    if mode is not Mode.OFF:
        checks["schema"] = _schema_check(verdict, mode, app.state.migration_progress())
    if draining:
        checks["process"] = {"status": "fail", "detail": "draining: this process is about to end"}
    statuses = {check["status"] for check in checks.values()}
    overall = next(status for status in ("fail", "warn", "ok") if status in statuses)
    return JSONResponse(
        {"status": overall, "version": __version__, "checks": checks},
        status_code=503 if overall == "fail" else 200,
        headers=_NO_STORE,
    )


def _database_check(verdict: Verdict) -> dict[str, Any]:
    if verdict.reachable:
        return {"status": "ok"}
    return {"status": "fail", "detail": verdict.fault}


def _schema_check(verdict: Verdict, mode: Mode, progress: Progress | None) -> dict[str, Any]:
    status = verdict.status
    check: dict[str, Any] = {
        "status": "ok",
        "state": status.state.value,
        "database_revisions": list(status.database_revisions),
        "code_heads": list(status.code_heads),
    }
    if not verdict.reachable:
        check["stale"] = True
    if status.warning or not status.servable:
        check["status"] = "warn" if status.servable or mode is Mode.WARN else "fail"
        check["cause"] = status.cause
        check["solution"] = status.solution
        if status.override is not None:
            check["override_until"] = status.override.until.isoformat()
        if verdict.last_run is not None:
            check["last_run"] = verdict.last_run.result
    if progress is not None:
        check["migration"] = progress.value
    return check
