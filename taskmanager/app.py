"""`create_app(settings)`: assembly, nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from migration_gate.errors import RevisionsLockError
from migration_gate.expected import LOCK_NAME, Expected, read_lock
from migration_gate.gate import SchemaGate
from migration_gate.metrics import SchemaCollector
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.start import Progress, StartupMigration
from migration_gate.states import State
from migration_gate.watch import Watcher
from taskmanager import __version__, problems, schema_faults
from taskmanager.access.cors import CrossOrigin
from taskmanager.access.keys import Keyring
from taskmanager.access.security_headers import API_SECURITY_HEADERS
from taskmanager.database import Database
from taskmanager.dispatch.admission import Admission, Policy
from taskmanager.dispatch.front_door import FrontDoor
from taskmanager.dispatch.route_table import RouteTable
from taskmanager.documentation import api_docs, openapi
from taskmanager.observability import health, logs, metrics, schema_reports, sentry, traces
from taskmanager.observability.database_metrics import DatabaseCollector, DatabaseMetrics
from taskmanager.observability.event_loop import EventLoopLag
from taskmanager.observability.postgres_activity import PostgresActivity
from taskmanager.observability.process_metrics import DiskCollector, ProcessStateCollector
from taskmanager.observability.request_log import RequestLog
from taskmanager.observability.request_metrics import RequestMetrics
from taskmanager.observability.service_state import ServiceState
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.settings import NO_DATABASE, Auth, Migrate, Settings, SettingsError, load_settings
from taskmanager.settings_sources import as_variables
from taskmanager.tasks import routes
from taskmanager.tasks.statements import STATEMENTS

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 64 * 1024

# A request that meets another schema has the statements proven at once. Where none comes, at night, this is how long a
# broken one stays unknown, and its alert may take five seconds. A proof costs a hundredth of a processor.
PROVE_EVERY_S = 1.5


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Parameters
    ----------
    settings: otherwise those of the environment.

    Raises
    ------
    SettingsError: the settings cannot be used, name no database, or are not safe enough to serve with.
    """
    settings = settings or load_settings()
    refusals = [NO_DATABASE] if settings.database_url is None else []
    refusals += settings.violations()
    if refusals or settings.database_url is None:
        raise SettingsError("\n".join(refusals))
    tracer = traces.start(settings, STATEMENTS)
    logs.configure(
        as_json=settings.logs_as_json,
        level=settings.log_level,
        stream=sys.stdout,
        environment=settings.env.value,
        traced=tracer is not None,
    )
    sentry.start(settings)
    app = FastAPI(
        title="TaskManager API",
        version=__version__,
        summary="Tasks over HTTP, on a schema that the code can trust",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=api_docs.OPENAPI_PATH if settings.docs_served else None,
        # FastAPI's own telemetry would tell what clients send; the front door makes the spans (docs/adr/0016).
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    probe = AsyncpgProbe(settings.database_url, statements=STATEMENTS, prove_every_s=PROVE_EVERY_S)
    watcher = Watcher(_expected(), probe)
    database_metrics = DatabaseMetrics(STATEMENTS)
    app.state.settings = settings
    app.state.traces = tracer
    app.state.probe = probe
    app.state.watcher = watcher
    app.state.database = database = Database(settings.database_url, settings.pool_size, database_metrics, tracer)
    app.state.activity = activity = PostgresActivity(settings.database_url)
    app.state.loop_lag = lag = EventLoopLag()
    app.state.startup_migration = _startup_migration(settings, watcher)
    app.state.migration_progress = lambda: _progress(app)
    app.state.service_state = state = ServiceState(
        lambda: watcher.verdict, app.state.migration_progress, settings.schema_gate
    )
    schema_reports.install(watcher, lambda: state.migrating, app.state.startup_migration)
    app.state.keyring = keyring = _keyring(settings)
    app.state.request_log = request_log = RequestLog(sys.stdout if settings.logs_as_json else None, settings.env.value)
    requests = RequestMetrics()
    admission = _admission(settings, keyring)
    collectors = (
        SchemaCollector(watcher),
        requests,
        DatabaseCollector(database_metrics, database),
        activity,
        ProcessStateCollector(state, admission, lag),
        DiskCollector(settings.disk_folder),
    )
    app.state.registry = registry = metrics.new_registry(settings, watcher.verdict.status.code_heads, collectors)
    # Not for the whole application: FastAPI would put that limit around the front door and answer in its place.
    app.include_router(routes.router, max_body_size=LARGEST_BODY_BYTES)
    app.include_router(health.router)
    app.include_router(metrics.router(registry))
    if settings.docs_served:
        api_docs.install(app)
    problems.install(app)
    openapi.install(app)
    schema_faults.install(app)
    front_door = FrontDoor(
        # What FastAPI puts first answers what nobody caught with plain text; that is the front door's to answer.
        app.build_middleware_stack().app,  # type: ignore[attr-defined]
        app=app,
        routes=RouteTable(app, public_paths=health.PUBLIC_PATHS),
        gate=SchemaGate(app, watcher, settings.schema_gate, health.ALWAYS_PATHS),
        state=state,
        admission=admission,
        metrics=requests,
        log=request_log,
        traces=tracer,
    )
    app.state.front_door = app.middleware_stack = front_door
    return app


def _admission(settings: Settings, keyring: Keyring | None) -> Admission:
    policy = Policy(
        always_paths=health.ALWAYS_PATHS,
        public_paths=health.PUBLIC_PATHS,
        quiet_paths=health.QUIET_PATHS,
        security_headers=API_SECURITY_HEADERS,
        largest_body_bytes=LARGEST_BODY_BYTES,
        max_in_flight=settings.max_in_flight,
    )
    cross_origin = CrossOrigin(settings.cors_origins) if settings.cors_origins else None
    return Admission(policy, keyring=keyring, cross_origin=cross_origin)


def _expected() -> Expected:
    """What the code needs of the schema. Where that is damaged, the statements alone must tell whether it fits."""
    try:
        return read_lock(PROJECT_FOLDER / "alembic" / LOCK_NAME)
    except RevisionsLockError as error:
        logger.error("%s", error.message, extra={"code": State.BROKEN_GRAPH.value, "solution": error.solution})
        return Expected.broken(error.message, error.solution)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    watcher: Watcher = app.state.watcher
    database: Database = app.state.database
    settings: Settings = app.state.settings
    logger.info(
        "service starts",
        extra={"env": settings.env.value, "schema_gate": settings.schema_gate.value, "migrate": settings.migrate.value},
    )
    if settings.auth_mode is Auth.NONE:
        logger.warning("TASKMANAGER_AUTH=none: whoever reaches this port can read and change every task")
    watcher.on_change(lambda _: database.renew())
    tasks = [
        asyncio.create_task(watcher.run(), name="schema watcher"),
        asyncio.create_task(app.state.activity.run(), name="database activity"),
        asyncio.create_task(app.state.loop_lag.run(), name="event loop lag"),
    ]
    if app.state.keyring is not None:
        tasks.append(asyncio.create_task(app.state.keyring.watch(), name="key file"))
    if app.state.startup_migration is not None:
        tasks.append(asyncio.create_task(app.state.startup_migration.run(), name="start-up migration"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await app.state.probe.close()
        await database.close()
        app.state.front_door.records.tell()
        # A second, since what ends a container kills it ten seconds after it has asked, most of which are for requests.
        endings = [asyncio.to_thread(sentry.flush, 1.0)]
        if app.state.traces is not None:
            endings.append(asyncio.to_thread(app.state.traces.shutdown))
        await asyncio.gather(*endings)
        logger.info("service stopped")


def _startup_migration(settings: Settings, watcher: Watcher) -> StartupMigration | None:
    if settings.migrate is Migrate.NEVER:
        return None
    addresses = {"DATABASE_URL": settings.database_url, "MIGRATION_DATABASE_URL": settings.migration_url()}
    environment = os.environ | as_variables({name: url for name, url in addresses.items() if url})
    command = [sys.executable, "-m", "taskmanager", "migrate", "--stop-with-parent"]
    # Where this process runs, since the child reads the same .env.
    return StartupMigration(watcher, command, environment, Path.cwd())


def _keyring(settings: Settings) -> Keyring | None:
    return Keyring(settings.keys, settings.keys_file) if settings.auth_mode is Auth.API_KEY else None


def _progress(app: FastAPI) -> Progress | None:
    migration: StartupMigration | None = app.state.startup_migration
    return migration.progress if migration is not None else None
