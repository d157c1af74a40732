"""The task resource: create, get, list, replace, delete."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.databases import Database
from tests.taskmanager.problem_documents import problem_of

RFC_3339_UTC = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)")
DEFAULTS = {"description": "", "status": "todo", "priority": "normal", "due_at": None, "tags": [], "completed_at": None}


async def created(client: httpx.AsyncClient, **content: Any) -> dict[str, Any]:
    response = await client.post("/tasks", json={"title": "a task"} | content)
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


async def test_a_created_task_is_told_with_its_address_and_its_version(client: httpx.AsyncClient) -> None:
    response = await client.post("/tasks", json={"title": "Ma première tâche", "description": "Test de l'API"})

    assert response.status_code == 201
    task = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == f"/tasks/{task['id']}"
    assert response.headers["etag"] == '"1"'
    assert task["title"] == "Ma première tâche"
    assert task["description"] == "Test de l'API"
    assert (await client.get(response.headers["location"])).json() == task


async def test_a_title_alone_is_a_task_and_the_rest_takes_its_defaults(client: httpx.AsyncClient) -> None:
    task = await created(client, title="alone")

    assert task.keys() == {"id", "title", "created_at", "updated_at", *DEFAULTS}
    assert {name: task[name] for name in DEFAULTS} == DEFAULTS


async def test_times_are_rfc_3339_in_utc(client: httpx.AsyncClient) -> None:
    task = await created(client, status="done", due_at="2026-03-31T18:00:00+02:00")

    for field in ("created_at", "updated_at", "completed_at", "due_at"):
        assert RFC_3339_UTC.fullmatch(task[field]), field
    assert task["created_at"] == task["updated_at"] == task["completed_at"]
    assert abs(datetime.fromisoformat(task["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-03-31T18:00:00Z", "2026-03-31T18:00:00.000000Z"),
        ("2026-03-31t18:00:00z", "2026-03-31T18:00:00.000000Z"),
        ("2026-03-31T18:00:00.5+02:00", "2026-03-31T16:00:00.500000Z"),
        ("2026-03-31T18:00:00.123456-03:30", "2026-03-31T21:30:00.123456Z"),
        ("2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000000Z"),
        ("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59.000000Z"),
    ],
)
async def test_a_due_time_with_any_offset_names_the_same_moment(
    client: httpx.AsyncClient, sent: str, stored: str
) -> None:
    due_at = (await created(client, due_at=sent))["due_at"]

    assert RFC_3339_UTC.fullmatch(due_at)
    assert datetime.fromisoformat(due_at) == datetime.fromisoformat(stored)


async def test_a_task_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for method in ("GET", "DELETE"):
        problem_of(await client.request(method, "/tasks/1"), 404, "not_found")
    problem_of(await client.put("/tasks/1", json={"title": "nobody"}), 404, "not_found")
    assert (await client.get("/tasks")).json() == []


async def test_the_list_is_a_bare_array_and_the_newest_task_comes_first(client: httpx.AsyncClient) -> None:
    tasks = [await created(client, title=title) for title in ("first", "second", "third")]

    assert (await client.get("/tasks")).json() == tasks[::-1]


async def test_tasks_of_the_same_moment_are_listed_by_their_number(
    client: httpx.AsyncClient, tasks_database: Database
) -> None:
    tasks_database.execute("INSERT INTO tasks (title) SELECT 'at once' FROM generate_series(1, 5)")

    assert [task["id"] for task in (await client.get("/tasks")).json()] == [5, 4, 3, 2, 1]


async def test_a_list_holds_fifty_tasks_unless_it_is_asked_for_another_number(
    client: httpx.AsyncClient, tasks_database: Database
) -> None:
    tasks_database.execute("INSERT INTO tasks (title) SELECT 'one of many' FROM generate_series(1, 201)")

    assert len((await client.get("/tasks")).json()) == 50
    assert [task["id"] for task in (await client.get("/tasks?limit=1")).json()] == [201]
    assert len((await client.get("/tasks?limit=200")).json()) == 200


async def test_a_replacement_sets_every_field_and_what_it_leaves_out_is_reset(client: httpx.AsyncClient) -> None:
    full = {
        "description": "long",
        "status": "in_progress",
        "priority": "high",
        "due_at": "2026-03-31T18:00:00Z",
        "tags": ["a"],
    }
    before = await created(client, **full)

    response = await client.put(f"/tasks/{before['id']}", json={"title": "replaced"})

    assert response.status_code == 200
    after = response.json()
    assert after["title"] == "replaced"
    assert {name: after[name] for name in DEFAULTS} == DEFAULTS
    assert after["id"] == before["id"]
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]
    assert (await client.get(f"/tasks/{before['id']}")).json() == after


async def test_what_get_tells_can_be_put_back(client: httpx.AsyncClient) -> None:
    task = await created(client, description="kept", priority="low", tags=["b", "a"])
    writable = {name: task[name] for name in ("title", "description", "status", "priority", "due_at", "tags")}

    response = await client.put(f"/tasks/{task['id']}", json=writable)

    assert response.status_code == 200, response.text
    assert {name: response.json()[name] for name in writable} == writable


async def test_each_replacement_has_a_version_of_its_own(client: httpx.AsyncClient) -> None:
    address = f"/tasks/{(await created(client))['id']}"

    versions = [(await client.put(address, json={"title": "again"})).headers["etag"] for _ in range(3)]

    assert versions == ['"2"', '"3"', '"4"']
    assert (await client.get(address)).headers["etag"] == '"4"'


async def test_a_refused_replacement_changes_nothing(client: httpx.AsyncClient) -> None:
    task = await created(client)

    assert (await client.put(f"/tasks/{task['id']}", json={"title": ""})).status_code == 422

    response = await client.get(f"/tasks/{task['id']}")
    assert response.json() == task
    assert response.headers["etag"] == '"1"'


async def test_the_time_of_completion_is_the_servers_and_lasts_while_the_task_is_done(
    client: httpx.AsyncClient,
) -> None:
    address = f"/tasks/{(await created(client))['id']}"

    done = (await client.put(address, json={"title": "t", "status": "done"})).json()
    assert done["completed_at"] == done["updated_at"]
    renamed = (await client.put(address, json={"title": "renamed", "status": "done"})).json()
    assert renamed["completed_at"] == done["completed_at"] < renamed["updated_at"]
    reopened = (await client.put(address, json={"title": "t", "status": "in_progress"})).json()
    assert reopened["completed_at"] is None
    again = (await client.put(address, json={"title": "t", "status": "done"})).json()
    assert again["completed_at"] > done["completed_at"]


@pytest.mark.parametrize("field", ["id", "created_at", "updated_at", "completed_at", "version"])
async def test_what_the_server_decides_cannot_be_sent(client: httpx.AsyncClient, field: str) -> None:
    assert (await client.post("/tasks", json={"title": "t", field: None})).status_code == 422


async def test_a_deleted_task_is_gone_and_cannot_be_deleted_again(client: httpx.AsyncClient) -> None:
    kept, deleted = await created(client), await created(client)

    response = await client.delete(f"/tasks/{deleted['id']}")

    assert (response.status_code, response.content) == (204, b"")
    problem_of(await client.delete(f"/tasks/{deleted['id']}"), 404, "not_found")
    problem_of(await client.get(f"/tasks/{deleted['id']}"), 404, "not_found")
    assert (await client.get("/tasks")).json() == [kept]


async def test_the_number_of_a_deleted_task_is_never_given_again(client: httpx.AsyncClient) -> None:
    first = await created(client)
    await client.delete(f"/tasks/{first['id']}")

    assert (await created(client))["id"] > first["id"]
