"""What a service is made of, and what it must not load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskmanager.app import create_app
from taskmanager.settings import Settings, SettingsError
from tests.databases import Database
from tests.processes import ROOT, Service, run

Serve = Callable[..., Service]

LOADED = """
import asyncio, sys
import httpx
from taskmanager.app import create_app

DRIVERS = ("sqlalchemy", "alembic", "psycopg")
app = create_app()
assert not [name for name in DRIVERS if name in sys.modules], "after create_app"

async def serve_once():
    async with app.router.lifespan_context(app):
        await app.state.watcher.first_answer()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            for path in ("/tasks", "/health", "/metrics", "/openapi.json"):
                assert (await client.get(path)).status_code == 200
            assert (await client.post("/tasks", json={"title": "t"})).status_code == 201

asyncio.run(serve_once())
print([name for name in DRIVERS if name in sys.modules])
"""


def test_what_serves_loads_nothing_of_what_migrates(migrated_database: Database, tmp_path: Path) -> None:
    script = tmp_path / "serve_once.py"
    script.write_text(LOADED)

    variables = {"DATABASE_URL": migrated_database.app_url, "PYTHONPATH": str(ROOT), "TASKMANAGER_LOG_LEVEL": "error"}
    done = run(sys.executable, str(script), env=variables)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_served_process_loads_nothing_of_what_migrates(migrated_database: Database, serve: Serve) -> None:
    command = (sys.executable, "-X", "importtime", "-m", "taskmanager", "serve", "--port", "{port}")
    service = serve(migrated_database, command=command)
    service.wait_for("/tasks", 200)
    service.stop()

    loaded = {line.rsplit("|", 1)[1].strip() for line in service.log.splitlines() if line.startswith("import time:")}
    assert "asyncpg" in loaded
    assert not loaded & {"sqlalchemy", "alembic", "psycopg"}


def test_without_a_database_there_is_no_application() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: no database is named"):
        create_app(Settings())


async def test_an_application_can_be_started_again(migrated_database: Database) -> None:
    application = create_app(Settings(database_url=migrated_database.app_url))

    for _ in range(2):
        async with application.router.lifespan_context(application):
            assert (await application.state.watcher.first_answer()).servable
            assert await application.state.database.row("SELECT 1") == (1,)


def test_the_import_path_of_the_brief_serves(migrated_database: Database, serve: Serve) -> None:
    command = (sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "{port}")
    service = serve(migrated_database, command=command)

    assert service.wait_for("/tasks", 200).json() == []
