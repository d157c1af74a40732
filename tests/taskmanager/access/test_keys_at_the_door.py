"""Every path but the public ones asks for a key, and for the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from taskmanager.access.key_lines import METRICS_READ, SCOPES, TASKS_READ, TASKS_WRITE, new_key
from taskmanager.app import create_app
from taskmanager.observability.health import PUBLIC_PATHS
from taskmanager.settings import Auth, Settings
from tests.databases import Database
from tests.taskmanager.problem_documents import problem_of

NEEDED = {
    ("GET", "/tasks"): TASKS_READ,
    ("POST", "/tasks"): TASKS_WRITE,
    ("GET", "/tasks/{id}"): TASKS_READ,
    ("PUT", "/tasks/{id}"): TASKS_WRITE,
    ("PATCH", "/tasks/{id}"): TASKS_WRITE,
    ("DELETE", "/tasks/{id}"): TASKS_WRITE,
    ("GET", "/metrics"): METRICS_READ,
}


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    """A key with each scope alone, and its line."""
    made = {}
    for scope in SCOPES:
        secret, key = new_key([scope])
        made[scope] = secret, key.line()
    return made


@pytest_asyncio.fixture
async def guarded(tasks_database: Database, keys: dict[str, tuple[str, str]]) -> AsyncIterator[FastAPI]:
    lines = ";".join(line for _, line in keys.values())
    application = create_app(Settings(database_url=tasks_database.app_url, auth=Auth.API_KEY, keys=lines))
    async with application.router.lifespan_context(application):
        await application.state.watcher.first_answer()
        yield application


@pytest_asyncio.fixture
async def stranger(guarded: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://service") as client:
        yield client


def test_what_each_operation_needs_is_told_here(guarded: FastAPI) -> None:
    operations = {
        (method, entry.path): operation.scope
        for entry in guarded.state.front_door.routes.entries.values()
        for method, operation in entry.operations.items()
        if entry.path not in PUBLIC_PATHS
    }

    assert operations == NEEDED


@pytest.mark.parametrize(("method", "path"), [*NEEDED, ("GET", "/nowhere"), ("DELETE", "/tasks"), ("HEAD", "/tasks")])
async def test_without_a_key_nothing_is_told(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    response = await stranger.request(method, path.replace("{id}", "1"), content=b"{", headers={"Content-Type": "x"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    if method != "HEAD":
        problem_of(response, 401, "unauthenticated")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path"), NEEDED)
async def test_a_key_opens_what_its_scope_names(
    stranger: httpx.AsyncClient, keys: dict[str, tuple[str, str]], method: str, path: str, scope: str
) -> None:
    response = await stranger.request(
        method, path.replace("{id}", "1"), headers={"Authorization": f"Bearer {keys[scope][0]}"}
    )

    if scope == NEEDED[method, path]:
        assert response.status_code in {200, 404, 415, 422}
    else:
        problem_of(response, 403, "insufficient_scope")


@pytest.mark.parametrize("path", sorted(PUBLIC_PATHS))
async def test_public_paths_ask_for_none(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 200


async def test_two_keys_in_one_request_are_refused(
    stranger: httpx.AsyncClient, keys: dict[str, tuple[str, str]]
) -> None:
    authorization = [("Authorization", f"Bearer {key}") for key, _ in keys.values()]

    problem_of(await stranger.get("/tasks", headers=authorization), 400, "repeated_header")


@pytest.mark.parametrize("path", ["/tasks%0A", "/metrics%0A", "/tasks/", "//tasks", "/tasks/1%0A", "/TASKS"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_path_that_is_nearly_a_route_opens_nothing(
    stranger: httpx.AsyncClient, keys: dict[str, tuple[str, str]], method: str, path: str
) -> None:
    response = await stranger.request(
        method, path, json={"title": "t"}, headers={"Authorization": f"Bearer {keys[TASKS_READ][0]}"}
    )

    assert response.status_code in {403, 404, 405, 422}


@pytest.mark.parametrize(("method", "path"), NEEDED)
async def test_a_service_that_is_mounted_under_a_path_asks_for_the_same(
    guarded: FastAPI, keys: dict[str, tuple[str, str]], method: str, path: str
) -> None:
    transport = httpx.ASGITransport(guarded, root_path="/api")
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert (await client.get("/api/livez")).status_code == 200
        for scope in SCOPES:
            response = await client.request(
                method, "/api" + path.replace("{id}", "1"), headers={"Authorization": f"Bearer {keys[scope][0]}"}
            )
            assert (response.status_code == 403) == (scope != NEEDED[method, path])
