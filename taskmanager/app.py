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

from migration_gate.expected import LOCK_NAME, read_lock
from migration_gate.gate import SchemaGate
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.start import Progress, StartupMigration
from migration_gate.status import SchemaStatus
from migration_gate.watch import Watcher
from taskmanager import __version__, health, problems, schema_faults
from taskmanager.database import Database
from taskmanager.front_door import FrontDoor
from taskmanager.observability import logs, metrics
from taskmanager.settings import NO_DATABASE, PROJECT_ROOT, Migrate, Settings, SettingsError, load_settings
from taskmanager.tasks import routes
from taskmanager.tasks.statements import STATEMENTS

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 64 * 1024


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application.

    Parameters
    ----------
    settings: otherwise those of the environment.

    Raises
    ------
    SettingsError: the settings cannot be used, or name no database.
    RevisionsLockError: the code does not know which schema it needs.
    """
    settings = settings or load_settings()
    if settings.database_url is None:
        raise SettingsError(NO_DATABASE)
    logs.configure(as_json=settings.logs_as_json, level=settings.log_level, stream=sys.stdout)
    app = FastAPI(
        title="TaskManager API",
        version=__version__,
        summary="Tasks over HTTP, on a schema that the code can trust",
        lifespan=_lifespan,
        redirect_slashes=False,
        # FastAPI's own telemetry would log what clients send.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    probe = AsyncpgProbe(settings.database_url, statements=STATEMENTS)
    watcher = Watcher(read_lock(PROJECT_ROOT / "alembic" / LOCK_NAME), probe)
    app.state.settings = settings
    app.state.probe = probe
    app.state.watcher = watcher
    app.state.database = Database(settings.database_url, settings.pool_size)
    app.state.startup_migration = _startup_migration(settings, watcher)
    app.state.migration_progress = lambda: _progress(app)
    # Not for the whole application: FastAPI would put that limit around the front door and answer in its place.
    app.include_router(routes.router, max_body_size=LARGEST_BODY_BYTES)
    app.include_router(health.router)
    problems.install(app)
    schema_faults.install(app)
    # The last one added is the first one met: the gate stands inside the metrics, so that they count its 503s.
    app.add_middleware(SchemaGate, watcher=watcher, mode=settings.schema_gate, open_paths=health.OPEN_PATHS)
    metrics.install(app, watcher)
    app.add_middleware(FrontDoor, largest_body_bytes=LARGEST_BODY_BYTES)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    watcher: Watcher = app.state.watcher
    database: Database = app.state.database
    settings: Settings = app.state.settings
    logger.info(
        "service starts",
        extra={"env": settings.env.value, "schema_gate": settings.schema_gate.value, "migrate": settings.migrate.value},
    )
    await database.open()
    renewals: set[asyncio.Task[None]] = set()

    def renew(_: SchemaStatus) -> None:
        task = asyncio.get_running_loop().create_task(database.renew())
        renewals.add(task)
        task.add_done_callback(renewals.discard)

    watcher.on_change(renew)
    tasks = [asyncio.create_task(watcher.run(), name="schema watcher")]
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
        logger.info("service stopped")


def _startup_migration(settings: Settings, watcher: Watcher) -> StartupMigration | None:
    if settings.migrate is Migrate.NEVER:
        return None
    addresses = {"DATABASE_URL": settings.database_url, "MIGRATION_DATABASE_URL": settings.migration_url()}
    environment = os.environ | {name: url for name, url in addresses.items() if url}
    command = [sys.executable, "-m", "taskmanager", "migrate", "--stop-with-parent"]
    # Where this process runs, since the child reads the same .env.
    return StartupMigration(watcher, command, environment, Path.cwd())


def _progress(app: FastAPI) -> Progress | None:
    migration: StartupMigration | None = app.state.startup_migration
    return migration.progress if migration is not None else None
