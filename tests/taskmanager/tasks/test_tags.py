"""Tags: both sides of each bound, and nothing of them silently lost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.databases import Database
from tests.taskmanager.problem_documents import pointers_of, problem_of

# One code point, two UTF-16 units, four bytes of UTF-8.
WIDE = "\U0001f680"

FIELDS = ["id", "title", "description", "status", "priority", "due_at", "tags"]
TIMES = ["created_at", "updated_at", "completed_at"]


async def post(client: httpx.AsyncClient, tags: Any) -> httpx.Response:
    return await client.post("/tasks", json={"title": "t", "tags": tags})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([], []),
        (["urgent"], ["urgent"]),
        (["b", "a", "c"], ["b", "a", "c"]),
        (["  trimmed\t", "\u2003wide\u00a0"], ["trimmed", "wide"]),
        (["a", "A", "ä", "a\u0308"], ["a", "A", "ä", "a\u0308"]),
        (["x" * 50, WIDE * 50], ["x" * 50, WIDE * 50]),
        ([" " * 60 + "x" + " " * 60], ["x"]),
        ([str(number) for number in range(20)], [str(number) for number in range(20)]),
        (["a,b", '"quoted"', "{curly}", "back\\slash", "NULL", "null", "a b", "'"],) * 2,
    ],
)
async def test_tags_are_kept_in_their_order(client: httpx.AsyncClient, sent: list[str], kept: list[str]) -> None:
    created = await post(client, sent)

    assert created.status_code == 201, created.text
    assert created.json()["tags"] == kept
    assert (await client.get(created.headers["location"])).json()["tags"] == kept
    assert (await client.get("/tasks")).json()[0]["tags"] == kept


@pytest.mark.parametrize(
    ("tags", "pointers"),
    [
        ([""], ["#/tags/0"]),
        (["a", " \t"], ["#/tags/1"]),
        (["x" * 51], ["#/tags/0"]),
        (["a", WIDE * 51, "b", ""], ["#/tags/1", "#/tags/3"]),
        (["a", "b", "c", "a\0"], ["#/tags/3"]),
        ([1, None, True, [], {}], ["#/tags/0", "#/tags/1", "#/tags/2", "#/tags/3", "#/tags/4"]),
        (["a", "b", "a", "c", "b"], ["#/tags/2", "#/tags/4"]),
        (["a", " a "], ["#/tags/1"]),
        (["a"] * 3, ["#/tags/1", "#/tags/2"]),
        ([str(number) for number in range(21)], ["#/tags"]),
        ([1] * 20_000, ["#/tags"]),
        ("urgent", ["#/tags"]),
        ({"0": "urgent"}, ["#/tags"]),
        (1, ["#/tags"]),
        (None, ["#/tags"]),
    ],
    ids=lambda value: ascii(value)[:24],
)
async def test_each_tag_that_cannot_be_kept_is_told_by_its_place(
    client: httpx.AsyncClient, tags: Any, pointers: list[str]
) -> None:
    assert pointers_of(await post(client, tags)) == pointers
    assert (await client.get("/tasks")).json() == []


async def test_a_replacement_without_tags_takes_them_away(client: httpx.AsyncClient) -> None:
    address = (await post(client, ["a"])).headers["location"]

    assert (await client.put(address, json={"title": "t", "tags": ["b", "a"]})).json()["tags"] == ["b", "a"]
    assert (await client.put(address, json={"title": "t"})).json()["tags"] == []


async def test_a_task_of_an_older_release_has_no_tags(client: httpx.AsyncClient, tasks_database: Database) -> None:
    tasks_database.execute("INSERT INTO tasks (title) VALUES ('older')")

    assert (await client.get("/tasks/1")).json()["tags"] == []


async def test_the_fields_of_a_task_have_one_order_everywhere(client: httpx.AsyncClient) -> None:
    created = await post(client, ["a"])
    address = created.headers["location"]
    tasks = [
        created.json(),
        (await client.get(address)).json(),
        (await client.put(address, json={"title": "t"})).json(),
        (await client.patch(address, json={"title": "u"})).json(),
        (await client.get("/tasks")).json()[0],
    ]

    assert [list(task) for task in tasks] == [FIELDS + TIMES] * len(tasks)


async def test_a_body_full_of_faults_gets_no_larger_answer(client: httpx.AsyncClient) -> None:
    body = "{" + ",".join(f'"{number:x}":1' for number in range(7000)) + "}"
    assert len(body) < 64 * 1024

    response = await client.post("/tasks", content=body, headers={"Content-Type": "application/json"})

    problem_of(response, 422, "invalid_request")
    assert len(response.json()["errors"]) == 100
    assert len(response.content) < len(body)
