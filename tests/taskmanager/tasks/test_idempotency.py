"""Idempotency-Key: whatever is sent again, from wherever and however often, makes one task."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmanager.problems import MalformedHeader
from taskmanager.tasks.idempotency import content_hash, key_of
from taskmanager.tasks.schemas import TaskContent
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.at_once import at_once
from tests.taskmanager.problem_documents import pointers_of, problem_of

Serve = Callable[..., Service]

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


async def post(client: httpx.AsyncClient, key: str | bytes | None = KEY, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post("/tasks", json={"title": "once"} | fields, headers=headers)  # type: ignore[arg-type]


def keys_of(database: Database) -> list[tuple[object, ...]]:
    return database.execute("SELECT key, task_id FROM idempotency_keys ORDER BY task_id")


def make_older(database: Database, age: str, key: str = "%") -> None:
    database.execute(f"UPDATE idempotency_keys SET created_at = now() - interval '{age}' WHERE key LIKE '{key}'")


async def test_the_same_request_again_tells_the_task_of_the_first(client: httpx.AsyncClient) -> None:
    first = await post(client)
    assert "idempotency-replayed" not in first.headers

    again = await post(client)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == '"1"'
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.get("/tasks")).json() == [first.json()]


async def test_a_task_that_has_changed_since_is_told_as_it_is_now(client: httpx.AsyncClient) -> None:
    await post(client)
    changed = await client.patch("/tasks/1", json={"title": "changed"})

    again = await post(client)

    assert (again.status_code, again.json(), again.headers["etag"]) == (201, changed.json(), '"2"')


async def test_without_a_key_or_with_another_each_request_makes_a_task(
    client: httpx.AsyncClient, tasks_database: Database
) -> None:
    ids = [(await post(client, key)).json()["id"] for key in (None, None, "a", "b", "A")]

    assert len(set(ids)) == 5
    assert keys_of(tasks_database) == [("a", ids[2]), ("b", ids[3]), ("A", ids[4])]


@pytest.mark.parametrize("spelling", ["k-1", '"k-1"', ' "k-1" '])
async def test_a_key_is_the_same_with_its_quotes_and_without(client: httpx.AsyncClient, spelling: str) -> None:
    await post(client, "k-1")

    assert (await post(client, spelling)).headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "fields", [{"title": "other"}, {"status": "done"}, {"tags": ["a"]}, {"due_at": "2026-03-31T18:00:00Z"}], ids=str
)
async def test_a_key_that_comes_with_other_content_is_refused(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    first = await post(client)

    problem_of(await post(client, **fields), 422, "idempotency_key_reused")

    assert (await client.get("/tasks")).json() == [first.json()]


async def test_content_is_the_same_however_it_is_written(client: httpx.AsyncClient) -> None:
    whole = {"due_at": "2026-03-31T20:00:00+02:00", "tags": ["a"], "status": "done", "description": "d"}
    await post(client, **whole)
    body = (
        b'{"tags": [ "\\u0061 "], "priority": "normal", "status": "done",'
        b' "due_at": "2026-03-31t18:00:00.000Z", "description": "d", "title": " once"}'
    )

    headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
    again = await client.post("/tasks", content=body, headers=headers)

    assert again.headers["idempotency-replayed"] == "true", again.text


async def test_a_task_that_was_deleted_since_is_not_made_again(client: httpx.AsyncClient) -> None:
    await post(client)
    await client.delete("/tasks/1")

    problem_of(await post(client), 409, "idempotent_task_deleted")
    assert (await client.get("/tasks")).json() == []


async def test_a_refused_request_uses_no_key_up(client: httpx.AsyncClient, tasks_database: Database) -> None:
    assert pointers_of(await post(client, title="")) == ["#/title"]

    assert keys_of(tasks_database) == []
    assert (await post(client)).status_code == 201


@pytest.mark.parametrize(
    "key",
    [b"", b'""', b'"', b'"a', b'a"', b"a b", b'"a b"', b"a,b", b"a;b=c", b'"a";b=c', b'"a", "a"', b'"\\a"', b"\xe9",
     b'"\xe9"', b"\xff\xfe", b"a\tb", b'"\x7f"', b"x" * 256, b'"' + b"x" * 256 + b'"', b"x" * 60_000, b"\\"],
    ids=lambda key: ascii(key)[:20],
)  # fmt: skip
async def test_what_is_no_key_is_refused(client: httpx.AsyncClient, key: bytes) -> None:
    problem = problem_of(await post(client, key), 400, "malformed_header")

    assert problem["detail"].startswith("Idempotency-Key ")
    assert (await client.get("/tasks")).json() == []


@pytest.mark.parametrize(
    "key", [b"x", b"x" * 255, b'"' + b"x" * 255 + b'"', b'"' + b'\\"' * 255 + b'"', b"a/b+c=", b"*"]
)
async def test_a_key_has_up_to_two_hundred_and_fifty_five_characters(client: httpx.AsyncClient, key: bytes) -> None:
    assert (await post(client, key)).status_code == 201
    assert (await post(client, key)).headers["idempotency-replayed"] == "true"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_a_quoted_key_is_what_stands_between_its_quotes(key: str) -> None:
    assert key_of('"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"') == key


@given(st.text(max_size=300) | st.text(st.sampled_from('"\\ax,;é '), max_size=300))
def test_whatever_the_header_holds_it_is_a_key_or_refused(header: str) -> None:
    try:
        key = key_of(header)
    except MalformedHeader:
        return
    assert 1 <= len(key) <= 255
    assert all("!" <= character <= "~" for character in key)


def test_the_hash_of_a_content_does_not_depend_on_what_it_leaves_out() -> None:
    class LaterContent(TaskContent):
        """A later release's, with one more field."""

        estimate: int | None = None

    now = {"title": "t", "due_at": "2026-03-31T18:00:00Z"}
    assert content_hash(TaskContent(**now)) == content_hash(LaterContent(**now))
    assert content_hash(TaskContent(**now)) == content_hash(TaskContent(**now, description="", tags=[], status="todo"))
    assert content_hash(LaterContent(**now)) != content_hash(LaterContent(**now, estimate=1))
    # What two releases side by side must agree on: change it, and the other one's keys are refused for a day.
    content = TaskContent(title="é", due_at="2026-03-31T20:00:00.5+02:00", tags=["b", "a"], priority="high")
    hashed = b'{"due_at":"2026-03-31T18:00:00.500000+00:00","priority":"high","tags":["b","a"],"title":"\\u00e9"}'
    assert content_hash(content) == sha256(hashed).digest()


async def test_a_key_is_forgotten_after_a_day(client: httpx.AsyncClient, tasks_database: Database) -> None:
    first = await post(client)
    make_older(tasks_database, "23 hours 59 minutes")
    assert (await post(client)).headers["idempotency-replayed"] == "true"
    make_older(tasks_database, "24 hours 1 second")

    anew = await post(client, title="something else")

    assert (anew.status_code, anew.json()["title"]) == (201, "something else")
    assert "idempotency-replayed" not in anew.headers
    assert keys_of(tasks_database) == [(KEY.strip('"'), anew.json()["id"])]
    assert len((await client.get("/tasks")).json()) == 2
    assert anew.json()["id"] != first.json()["id"]


async def test_expired_keys_go_a_few_at_a_time_the_oldest_first(
    client: httpx.AsyncClient, tasks_database: Database
) -> None:
    tasks_database.execute(
        "INSERT INTO idempotency_keys (key, request_hash, task_id, created_at)"
        " SELECT 'old-' || n, '', n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, 7) n"
    )
    await post(client, "young")
    left = {key for key, _ in keys_of(tasks_database)}
    assert left == {"young", "old-1", "old-2", "old-3", "old-4"}

    await post(client, None)
    assert {key for key, _ in keys_of(tasks_database)} == left
    await post(client, "young")
    assert {key for key, _ in keys_of(tasks_database)} == left
    await post(client, "younger")
    await post(client, "youngest")
    assert {key for key, _ in keys_of(tasks_database)} == {"young", "younger", "youngest"}


def started(serve: Serve, database: Database) -> Service:
    service = serve(database)
    service.wait_for("/tasks", 200)
    return service


def post_once(service: Service, key: str = KEY, title: str = "once") -> httpx.Response:
    return service.request("POST", "/tasks", json={"title": title}, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("processes", [1, 2])
def test_fifty_requests_at_once_with_one_key_make_one_task(
    migrated_database: Database, serve: Serve, processes: int
) -> None:
    services = [started(serve, migrated_database) for _ in range(processes)]

    answers = at_once(50, lambda number: post_once(services[number % processes]))

    assert [answer.status_code for answer in answers] == [201] * 50
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert migrated_database.execute("SELECT count(*) FROM tasks") == [(1,)]


def test_fifty_requests_at_once_with_an_expired_key_make_one_task(migrated_database: Database, serve: Serve) -> None:
    services = [started(serve, migrated_database) for _ in range(2)]
    post_once(services[0])
    make_older(migrated_database, "25 hours")

    answers = at_once(50, lambda number: post_once(services[number % 2]))

    assert [answer.status_code for answer in answers] == [201] * 50
    assert {answer.json()["id"] for answer in answers}.isdisjoint({1})
    assert migrated_database.execute("SELECT count(*) FROM tasks") == [(2,)]


def test_many_expired_keys_that_come_again_at_once_hold_nobody_up(migrated_database: Database, serve: Serve) -> None:
    # Each request removes the expired keys of others, which are being sent again at that moment.
    services = [started(serve, migrated_database) for _ in range(2)]
    for number in range(10):
        post_once(services[0], f"key-{number}")
    make_older(migrated_database, "25 hours")

    answers = at_once(50, lambda number: post_once(services[number % 2], f"key-{number % 10}"))

    assert [answer.status_code for answer in answers] == [201] * 50
    assert migrated_database.execute("SELECT count(*) FROM tasks") == [(20,)]


def test_who_waits_for_a_key_holds_no_other(migrated_database: Database, serve: Serve) -> None:
    service = started(serve, migrated_database)
    migrated_database.execute(
        "INSERT INTO idempotency_keys VALUES ('expired', '', 1, now() - interval '25 hours')",
    )
    with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("INSERT INTO idempotency_keys VALUES ('wanted', '', 1)")
        answer = thread.submit(post_once, service, "wanted")
        while not migrated_database.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
        ):
            assert not answer.done(), answer.result().text
        # Two that each wait for what the other one removes would wait for ever.
        unlocked = other.execute("SELECT key FROM idempotency_keys ORDER BY key FOR UPDATE SKIP LOCKED").fetchall()
        assert unlocked == [("expired",), ("wanted",)]
        other.rollback()

        assert answer.result().status_code == 201
    assert [key for key, _ in keys_of(migrated_database)] == ["wanted"]


def test_of_fifty_contents_at_once_with_one_key_one_is_made(migrated_database: Database, serve: Serve) -> None:
    service = started(serve, migrated_database)

    answers = at_once(50, lambda number: post_once(service, title=f"number {number}"))

    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 49
    assert migrated_database.execute("SELECT count(*) FROM tasks") == [(1,)]


def test_a_key_outlives_the_process_that_it_came_to(migrated_database: Database, serve: Serve) -> None:
    first = started(serve, migrated_database)
    made = post_once(first)
    first.stop()

    again = post_once(started(serve, migrated_database))

    assert (again.content, again.headers["idempotency-replayed"]) == (made.content, "true")
    assert json.loads(again.content)["id"] == 1
