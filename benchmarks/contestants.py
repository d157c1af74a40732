"""Who is measured, and how each is started: one worker, a pool as large as the load has connections, no access log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import FASTIFY, PEERS, ensure_node, ensure_python, ensure_service_python
from benchmarks.service import service_environment
from benchmarks.table import ROOT, Database

POOL_SIZE = 32
WORKERS = 1
CONNECTIONS = 32

THIS = "taskmanager"
BRIEF = "brief"
FASTAPI_ASYNC = "fastapi_async"
LITESTAR = "litestar"
FASTIFY_PG = "fastify"
PGBENCH = "pgbench"


@dataclass(frozen=True)
class Launch:
    """How a server is started, and what its clients must send."""

    command: list[str | Path]
    environment: dict[str, str]
    cwd: Path
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A server of the task API. `launch(port, database, folder)` raises Missing where it cannot run here."""

    name: str
    title: str
    launch: Callable[[int, Database, Path], Launch]


def clean_environment() -> dict[str, str]:
    """This process's variables without those that would configure the service, Python or PostgreSQL's clients."""
    ours = ("TASKMANAGER_", "DATABASE_URL", "MIGRATION_DATABASE_URL", "SENTRY_", "OTEL_")
    theirs = ("PG", "PYTHON", "UVICORN_", "NODE_")
    return {name: value for name, value in os.environ.items() if not name.startswith((*ours, *theirs))}


def _this_service(port: int, database: Database, folder: Path) -> Launch:
    return this_service(ensure_service_python(), port, database, folder)


def this_service(python: Path | str, port: int, database: Database, folder: Path) -> Launch:
    """This service in production, on a Python that has what it needs."""
    service = service_environment(folder)
    return Launch(
        [python, "-m", "taskmanager", "serve", "--port", str(port)],
        clean_environment() | _addresses(database) | {"TASKMANAGER_POOL_SIZE": str(POOL_SIZE)} | service.variables,
        ROOT,
        service.headers,
    )


def _uvicorn(name: str) -> Callable[[int, Database, Path], Launch]:
    def launch(port: int, database: Database, _folder: Path) -> Launch:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        return Launch(
            [ensure_python().with_name("uvicorn"), "main:app", *address, "--no-access-log"],
            peer_environment(database),
            PEERS / name,
        )

    return launch


def _fastify(port: int, database: Database, _folder: Path) -> Launch:
    variables = peer_environment(database) | {"PORT": str(port), "NODE_ENV": "production"}
    return Launch([ensure_node(), "server.js"], variables, FASTIFY)


def peer_environment(database: Database) -> dict[str, str]:
    """A peer's variables."""
    return clean_environment() | _addresses(database) | {"POOL_SIZE": str(POOL_SIZE)}


def _addresses(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}


SERVERS: Mapping[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant(THIS, "this service", _this_service),
        Contestant(BRIEF, "the brief's design", _uvicorn(BRIEF)),
        Contestant(FASTAPI_ASYNC, "FastAPI, async SQLAlchemy", _uvicorn(FASTAPI_ASYNC)),
        Contestant(LITESTAR, "Litestar, asyncpg, msgspec", _uvicorn(LITESTAR)),
        Contestant(FASTIFY_PG, "Fastify, pg (Node)", _fastify),
    )
}

TITLES: Mapping[str, str] = {name: server.title for name, server in SERVERS.items()} | {
    PGBENCH: "pgbench, the same statements"
}
