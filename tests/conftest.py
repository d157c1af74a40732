"""One PostgreSQL for the whole run, one migrated database a worker, and real processes.

The tests are blind to `.env` and to the variables of whoever runs them.
"""

from __future__ import annotations

import compileall
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi import FastAPI

from stack.postgres import temporary_cluster
from stack.postgres.roles import create_database
from taskmanager.app import create_app
from taskmanager.settings import Settings
from tests.databases import EMPTY_TEMPLATE, MIGRATED_TEMPLATE, Database, Server
from tests.processes import ROOT, Service, run_alembic

# Set by `migration-gate compatibility`: the checkout of the release after this one.
NEW_TREE = "MIGRATION_GATE_NEW_TREE"

_OURS = ("TASKMANAGER_", "DATABASE_URL", "MIGRATION_DATABASE_URL", "SENTRY_DSN")

_run = ExitStack()
_server_key = pytest.StashKey[Server]()


def forget_settings() -> None:
    """Be blind to the settings of whoever starts this process, and to `.env`."""
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        if name != "TASKMANAGER_POSTGRES_BIN":
            del os.environ[name]
    os.environ["TASKMANAGER_ENV_FILE"] = ""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a processor: much of what is tested is how long something waits."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    forget_settings()
    _listen_to_ctrl_c()
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_server_key] = Server(**worker_input["postgres"])
    elif not config.option.collectonly:
        _compile_the_product()
        config.stash[_server_key] = _start_server()


def _listen_to_ctrl_c() -> None:
    """A shell starts what it runs in the background deaf to SIGINT, and what these tests start would be so too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the one PostgreSQL of the run is."""
    node.workerinput["postgres"] = node.config.stash[_server_key].__dict__


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _run.close()


def _compile_the_product() -> None:
    """Hundreds of processes import it, and where the environment lets none keep bytecode, each would compile it."""
    for package in ("migration_gate", "taskmanager", "stack"):
        compileall.compile_dir(ROOT / package, quiet=1)


def _start_server() -> Server:
    cluster = _run.enter_context(temporary_cluster())
    migrated = create_database(cluster, MIGRATED_TEMPLATE)
    create_database(cluster, EMPTY_TEMPLATE)
    # Where a newer release asks whether this code runs on its schema, its migrations make the template.
    tree = Path(os.environ.get(NEW_TREE, ROOT))
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": migrated.migrator_url}, cwd=tree)
    return Server(
        admin_url=cluster.superuser_url("postgres"),
        app_url=migrated.app_url.removesuffix(MIGRATED_TEMPLATE),
        migrator_url=migrated.migrator_url.removesuffix(MIGRATED_TEMPLATE),
    )


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The PostgreSQL of this run."""
    return request.config.stash[_server_key]


@pytest.fixture
def empty_database(server: Server) -> Iterator[Database]:
    """A database of this test alone, with the two roles and no migration."""
    with server.database(EMPTY_TEMPLATE) as database:
        yield database


@pytest.fixture
def migrated_database(server: Server) -> Iterator[Database]:
    """A database of this test alone, at the code's heads."""
    with server.database(MIGRATED_TEMPLATE) as database:
        yield database


@pytest.fixture(scope="session")
def worker_database(server: Server) -> Iterator[Database]:
    with server.database(MIGRATED_TEMPLATE) as database:
        yield database


@pytest.fixture
def tasks_database(worker_database: Database) -> Database:
    """The worker's migrated database, its tables empty."""
    with psycopg.connect(worker_database.migrator_url, autocommit=True) as connection:
        connection.execute("TRUNCATE tasks, idempotency_keys RESTART IDENTITY")
    return worker_database


@pytest_asyncio.fixture
async def app(tasks_database: Database) -> AsyncIterator[FastAPI]:
    """The application in this process, its lifespan running, its schema known to be servable."""
    application = create_app(Settings(database_url=tasks_database.app_url))
    async with application.router.lifespan_context(application):
        verdict = await application.state.watcher.first_answer()
        assert verdict.servable, verdict
        yield application


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the application in this process."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `taskmanager serve` as a process: `serve(database, TASKMANAGER_MIGRATE="on_start")`."""
    with ExitStack() as running:

        def start(database: Database, *, command: tuple[str, ...] | None = None, **variables: str) -> Service:
            environment = {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}
            return running.enter_context(Service(environment | variables, tmp_path, command=command))

        yield start
