"""Probes: what they say, what they keep to themselves, and that nothing holds them up."""

from __future__ import annotations

import dataclasses
import re
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from migration_gate.gate import Mode
from taskmanager import __version__
from taskmanager.app import create_app
from taskmanager.settings import Settings
from tests.databases import Database
from tests.processes import NOT_HELD_S, Service, run_alembic

Serve = Callable[..., Service]

PROBES = ("/livez", "/readyz", "/health", "/version")
PASSWORD = "pass-canary-4711"


def elsewhere(database: Database, port: int) -> Database:
    """The same database by the address of somebody else's server, with a role and a password of its own."""
    url = f"postgresql://user-canary:{PASSWORD}@127.0.0.1:{port}/database-canary"
    return dataclasses.replace(database, app_url=url, migrator_url=url)


async def test_liveness_says_nothing_but_that_the_process_lives(client: httpx.AsyncClient) -> None:
    response = await client.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_readiness_tells_each_check_and_the_release(client: httpx.AsyncClient, app: FastAPI, path: str) -> None:
    response = await client.get(path)

    heads = list(app.state.watcher.verdict.status.code_heads)
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "ok"
    assert body["version"] == __version__
    assert body["checks"]["database"] == {"status": "ok"}
    schema = body["checks"]["schema"]
    assert (schema["status"], schema["state"]) == ("ok", "current")
    assert schema["database_revisions"] == schema["code_heads"] == heads


async def test_the_version_names_the_release_the_commit_and_the_schema_that_the_code_needs(
    tasks_database: Database,
) -> None:
    for commit in (None, "0a1b2c3"):
        application = create_app(Settings(database_url=tasks_database.app_url, commit=commit))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client:
            body = (await client.get("/version")).json()
        heads = list(application.state.watcher.verdict.status.code_heads)
        assert body == {"version": __version__, "commit": commit, "code_heads": heads}
        assert heads


@pytest.mark.parametrize("path", PROBES)
async def test_no_probe_may_be_answered_by_a_cache(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PROBES)
async def test_no_probe_asks_the_database(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    await app.state.database.close()
    await app.state.probe.close()

    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_schema_that_is_not_servable_is_told_as_the_gate_treats_it(
    empty_database: Database, mode: Mode
) -> None:
    application = create_app(Settings(database_url=empty_database.app_url, schema_gate=mode))
    async with application.router.lifespan_context(application):
        await application.state.watcher.first_answer()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client:
            response = await client.get("/health")

    body = response.json()
    expected = {Mode.ENFORCE: (503, "fail"), Mode.WARN: (200, "warn"), Mode.OFF: (200, "ok")}
    assert (response.status_code, body["status"]) == expected[mode]
    if mode is Mode.OFF:
        assert body["checks"].keys() == {"database"}
    else:
        assert body["checks"]["schema"]["solution"] == "alembic upgrade head"


def test_no_answer_tells_the_address_of_the_database_or_a_password(migrated_database: Database, serve: Serve) -> None:
    with socket.socket() as nobody:
        # Bound and not listening: refused, and nobody else can take the port.
        nobody.bind(("127.0.0.1", 0))
        service = serve(elsewhere(migrated_database, nobody.getsockname()[1]))
        service.wait_for("/livez", 200)
        service.wait_for("/health", 503)
        secrets = [PASSWORD, "user-canary", "database-canary", "127.0.0.1", str(nobody.getsockname()[1])]
        for path in (*PROBES, "/tasks", "/metrics", "/openapi.json", "/nowhere"):
            text = service.get(path).text
            assert not [secret for secret in secrets if secret in text], (path, text)
        assert PASSWORD not in service.log


def test_no_answer_tells_the_address_while_all_is_well(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    parts = urlsplit(migrated_database.app_url)
    secrets = [parts.password, parts.username, migrated_database.name, f":{parts.port}"]
    for path in (*PROBES, "/tasks", "/metrics", "/openapi.json"):
        text = service.get(path).text
        # As words: `taskmanager_app_state` is a metric, and no role.
        told = [secret for secret in secrets if re.search(rf"(?<!\w){re.escape(str(secret))}(?!\w)", text)]
        assert not told, (path, text)
    assert str(parts.password) not in service.log


def test_probes_answer_while_postgresql_takes_connections_and_says_nothing(
    migrated_database: Database, serve: Serve
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = serve(elsewhere(migrated_database, silent.getsockname()[1]))
        service.wait_for("/livez", 200)
        expected = {"/livez": 200, "/version": 200, "/metrics": 200, "/readyz": 503, "/health": 503, "/tasks": 503}
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            for path, status in expected.items():
                asked_at = time.monotonic()
                assert service.get(path).status_code == status
                assert time.monotonic() - asked_at < NOT_HELD_S


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER ROLE {role} NOLOGIN", "login"),
        ("ALTER DATABASE {name} CONNECTION LIMIT 0", "connection"),
    ],
)
def test_the_cause_of_a_refused_session_is_told_in_words(
    migrated_database: Database, serve: Serve, change: str, words: str
) -> None:
    # A role of this test's own: the others' sessions must go on.
    role = f"role_{migrated_database.name}"
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        try:
            admin.execute(change.format(role=role, name=migrated_database.name))
            parts = urlsplit(migrated_database.app_url)
            url = f"postgresql://{role}:{PASSWORD}@{parts.hostname}:{parts.port}/{migrated_database.name}"
            service = serve(dataclasses.replace(migrated_database, app_url=url))
            service.wait_for("/livez", 200)
            deadline = time.monotonic() + 10
            while (check := service.get("/health").json()["checks"]["database"])["detail"] == "not checked yet":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            admin.execute(f"DROP ROLE {role}")
    assert check["status"] == "fail"
    assert words in check["detail"]
    assert role not in check["detail"]


def test_a_database_that_is_migrated_later_is_noticed_without_a_restart(empty_database: Database, serve: Serve) -> None:
    service = serve(empty_database)
    service.wait_for("/livez", 200)
    assert service.wait_for("/health", 503).json()["status"] == "fail"

    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})

    assert service.wait_for("/readyz", 200, within_s=5).json()["checks"]["schema"]["state"] == "current"
