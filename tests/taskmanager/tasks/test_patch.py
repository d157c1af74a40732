"""PATCH: a merge patch (RFC 7396) changes what it names and nothing else."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.taskmanager.problem_documents import pointers_of, problem_of

MERGE_PATCH = "application/merge-patch+json"
FULL = {
    "title": "whole",
    "description": "long",
    "status": "in_progress",
    "priority": "high",
    "due_at": "2026-03-31T18:00:00Z",
    "tags": ["b", "a"],
}
WRITABLE = tuple(FULL)


async def created(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/tasks", json=FULL | fields)
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


async def patch(client: httpx.AsyncClient, body: Any, content_type: str = MERGE_PATCH) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return await client.patch("/tasks/1", content=content, headers={"Content-Type": content_type})


def writable(task: dict[str, Any]) -> dict[str, Any]:
    """What a client decides about a task, its due time as the moment that it is."""
    due_at = task["due_at"]
    return {name: task[name] for name in WRITABLE} | {"due_at": due_at and datetime.fromisoformat(due_at)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "renamed"),
        ("description", "shorter"),
        ("description", ""),
        ("status", "todo"),
        ("priority", "low"),
        ("due_at", "2027-01-01T01:00:00+01:00"),
        ("tags", ["c"]),
        ("tags", []),
    ],
)
async def test_a_field_that_is_named_changes_and_the_others_stay(
    client: httpx.AsyncClient, field: str, value: Any
) -> None:
    before = await created(client)

    response = await patch(client, {field: value})

    assert response.status_code == 200, response.text
    assert response.headers["etag"] == '"2"'
    after = response.json()
    assert writable(after) == writable(FULL | {field: value})
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]
    assert (await client.get("/tasks/1")).json() == after


@pytest.mark.parametrize("field", ["description", "status", "priority", "due_at", "tags"])
async def test_null_returns_a_field_to_what_a_replacement_without_it_would_set(
    client: httpx.AsyncClient, field: str
) -> None:
    await created(client)
    replaced = await client.put("/tasks/1", json={name: value for name, value in FULL.items() if name != field})
    replaced_whole = await client.put("/tasks/1", json=FULL)

    patched = await patch(client, {field: None})

    assert patched.status_code == 200, patched.text
    assert writable(patched.json()) == writable(replaced.json())
    assert patched.json()[field] != replaced_whole.json()[field]


async def test_all_fields_can_change_at_once(client: httpx.AsyncClient) -> None:
    await created(client, status="todo")
    new = {
        "title": "other",
        "description": "d",
        "status": "done",
        "priority": "low",
        "due_at": None,
        "tags": ["x"],
    }

    assert writable((await patch(client, new)).json()) == new


@pytest.mark.parametrize("content_type", [MERGE_PATCH, "application/json", "Application/Merge-Patch+JSON; a=b"])
async def test_a_patch_may_be_named_in_each_of_its_ways(client: httpx.AsyncClient, content_type: str) -> None:
    await created(client)

    assert (await patch(client, {"title": "x"}, content_type)).json()["title"] == "x"


@pytest.mark.parametrize(
    "content_type",
    ["application/json-patch+json", "application/vnd.api+json", "text/plain", "application/x-www-form-urlencoded", ""],
)
@pytest.mark.parametrize("body", [{}, {"title": "x"}, {"title": ""}, [{"op": "remove", "path": "/title"}]], ids=str)
async def test_another_media_type_is_refused_with_those_that_are_taken(
    client: httpx.AsyncClient, content_type: str, body: Any
) -> None:
    before = await created(client)

    response = await patch(client, body, content_type)

    problem_of(response, 415, "unsupported_media_type")
    assert response.headers["accept-patch"] == "application/merge-patch+json, application/json"
    assert (await client.get("/tasks/1")).json() == before


async def test_a_patch_without_a_media_type_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.patch("/tasks/1", content=b"{}")

    problem_of(response, 415, "unsupported_media_type")
    assert "accept-patch" in response.headers


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"title": None}, ["#/title"]),
        ({"title": " "}, ["#/title"]),
        ({"description": "x" * 10_001}, ["#/description"]),
        ({"status": "cancelled"}, ["#/status"]),
        ({"priority": 1}, ["#/priority"]),
        ({"due_at": "tomorrow"}, ["#/due_at"]),
        ({"due_at": "1899-12-31T23:59:59Z"}, ["#/due_at"]),
        ({"tags": ["a", "b", "a"]}, ["#/tags/2"]),
        ({"tags": {"0": "a"}}, ["#/tags"]),
        ({"colour": "red"}, ["#/colour"]),
        ({"id": 2, "version": 1, "completed_at": None}, ["#/id", "#/version", "#/completed_at"]),
        ({"title": "", "status": ""}, ["#/title", "#/status"]),
        ([], ["#"]),
        (None, ["#"]),
        ("text", ["#"]),
        (1, ["#"]),
        (b"", ["#"]),
    ],
    ids=lambda value: ascii(value)[:30],
)
async def test_a_patch_that_cannot_be_applied_as_a_whole_changes_nothing(
    client: httpx.AsyncClient, body: Any, pointers: list[str]
) -> None:
    before = await created(client)

    assert pointers_of(await patch(client, body)) == pointers
    response = await client.get("/tasks/1")
    assert (response.json(), response.headers["etag"]) == (before, '"1"')


async def test_a_patch_that_is_no_json_is_malformed(client: httpx.AsyncClient) -> None:
    for body in (b"{", b"\xff", b'{"due_at":NaN}', '{"title":"t"}'.encode("utf-16")):
        problem_of(await patch(client, body), 400, "malformed_json")


async def test_an_empty_patch_changes_nothing_not_even_the_version(client: httpx.AsyncClient) -> None:
    before = await created(client)

    response = await patch(client, {})

    assert (response.status_code, response.json(), response.headers["etag"]) == (200, before, '"1"')


async def test_a_task_that_is_not_there_cannot_be_patched(client: httpx.AsyncClient) -> None:
    problem_of(await patch(client, {}), 404, "not_found")
    problem_of(await patch(client, {"title": "x"}), 404, "not_found")


async def test_the_time_of_completion_is_the_servers(client: httpx.AsyncClient) -> None:
    await created(client)

    done = (await patch(client, {"status": "done"})).json()
    assert done["completed_at"] == done["updated_at"]
    renamed = (await patch(client, {"title": "renamed"})).json()
    assert renamed["completed_at"] == done["completed_at"] < renamed["updated_at"]
    still_done = (await patch(client, {"status": "done"})).json()
    assert still_done["completed_at"] == done["completed_at"]
    reopened = (await patch(client, {"status": None})).json()
    assert (reopened["status"], reopened["completed_at"]) == ("todo", None)
    again = (await patch(client, {"status": "done"})).json()
    assert again["completed_at"] > done["completed_at"]
