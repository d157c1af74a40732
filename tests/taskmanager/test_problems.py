"""Errors: their one form, and that nothing a client sent comes back in them."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.problem_documents import pointers_of, problem_of

Serve = Callable[..., Service]

CANARY = "canary4711"
JSON = {"Content-Type": "application/json"}


async def test_a_path_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/", "/nowhere", "/tasks/", "/tasks/1/", "/tasks/1/more", "/TASKS", "//tasks"):
        problem = problem_of(await client.get(path), 404, "not_found")
        assert problem["title"] == "Not Found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/tasks", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "/tasks", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/tasks/1", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("PROPFIND", "/tasks/1", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/metrics", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_told_with_those_it_takes(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    response = await client.request(method, path)

    problem_of(response, 405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == allowed


async def test_each_problem_has_the_title_of_its_status(client: httpx.AsyncClient) -> None:
    titles = {
        (await client.get("/tasks?limit=0")).json()["title"],
        (await client.post("/tasks", content=b"{}")).json()["title"],
        (await client.post("/tasks", content=b"x" * 70_000)).json()["title"],
        (await client.post("/tasks", content=b"{", headers={"Content-Type": "application/json"})).json()["title"],
    }

    assert titles == {"Unprocessable Content", "Unsupported Media Type", "Content Too Large", "Bad Request"}


async def test_no_problem_may_be_kept_by_a_cache(client: httpx.AsyncClient) -> None:
    for path in ("/nowhere", "/tasks/1", "/tasks?limit=0"):
        assert (await client.get(path)).headers["cache-control"] == "no-store"


async def test_a_problem_names_the_request_that_it_is_about(client: httpx.AsyncClient) -> None:
    assert problem_of(await client.get("/tasks/12?x=y"), 422)["instance"] == "/tasks/12"
    assert problem_of(await client.get("/tasks?limit=0"), 422)["instance"] == "/tasks"


@pytest.mark.parametrize("field", ["title", "description", "status", "priority", "due_at", "tags"])
@pytest.mark.parametrize(
    "value", [[[CANARY]], {CANARY: CANARY}, CANARY + "\0", CANARY * 2000], ids=lambda v: ascii(v)[:20]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_no_value_of_a_body_comes_back(client: httpx.AsyncClient, method: str, field: str, value: object) -> None:
    path = "/tasks" if method == "POST" else "/tasks/1"

    response = await client.request(method, path, json={"title": "t"} | {field: value})

    assert [pointer.removesuffix("/0") for pointer in pointers_of(response)] == [f"#/{field}"]
    assert CANARY not in response.text


async def test_no_value_of_a_header_that_cannot_be_read_comes_back(client: httpx.AsyncClient) -> None:
    for method, header in (("GET", "If-None-Match"), ("DELETE", "If-Match"), ("POST", "Idempotency-Key")):
        path, body = ("/tasks", {"title": "t"}) if method == "POST" else ("/tasks/1", None)
        await client.post("/tasks", json={"title": "t"})
        response = await client.request(method, path, json=body, headers={header: f'"{CANARY}'})
        problem_of(response, 400, "malformed_header")
        assert CANARY not in response.text


@pytest.mark.parametrize("body", [f'{{"title":"{CANARY}"', f'"{CANARY}"', f"[{CANARY}]", f'{{"{CANARY} x":1}}'])
async def test_nothing_of_a_body_that_is_no_task_comes_back(client: httpx.AsyncClient, body: str) -> None:
    response = await client.post("/tasks", content=body, headers=JSON)

    problem_of(response, response.status_code)
    assert CANARY not in response.text


async def test_no_value_of_a_path_or_a_query_or_a_header_comes_back(client: httpx.AsyncClient) -> None:
    path = await client.get(f"/tasks/{CANARY}")
    assert pointers_of(path) == ["id"]
    # `instance` is the path itself, by RFC 9457; nothing else may hold it.
    assert CANARY not in path.text.replace(f'"instance":"/tasks/{CANARY}"', "")
    for query in (f"limit={CANARY}", f"limit=1&x={CANARY}", f"{CANARY}%20%3Cscript%3E=1"):
        response = await client.get(f"/tasks?{query}")
        problem_of(response, 422)
        assert CANARY not in response.text
    for header in ("User-Agent", "Cookie", "Referer", "Authorization", "Accept", "X-Forwarded-For", "Content-Type"):
        response = await client.post("/tasks", content=b"{}", headers={header: CANARY})
        problem_of(response, 415)
        assert CANARY not in response.text
        assert CANARY not in str(response.headers)


async def test_a_name_that_a_client_made_up_is_told_only_where_it_can_do_no_harm(client: httpx.AsyncClient) -> None:
    assert pointers_of(await client.post("/tasks", json={"title": "t", "colour": 1})) == ["#/colour"]
    for name in ("<script>", "a b", "a/b", "a~b", "\u202ename", "x" * 65, "", "a\nb"):
        assert pointers_of(await client.post("/tasks", json={"title": "t", name: 1})) == ["#/?"]


def test_a_fault_of_the_service_is_told_in_general_words_and_its_cause_stands_in_the_log(
    empty_database: Database, serve: Serve
) -> None:
    service = serve(empty_database, TASKMANAGER_SCHEMA_GATE="off")
    service.wait_for("/health", 200)

    response = service.request("POST", "/tasks", json={"title": CANARY}, headers={"X-Request-Id": "the-broken-one"})

    problem = problem_of(response, 500, "internal_error")
    assert problem["request_id"] == "the-broken-one"
    for word in ("tasks", "relation", "42P01", "sql", "postgres", "asyncpg", CANARY, empty_database.name):
        assert word not in (problem["detail"] + problem["title"]).lower()
    (line,) = [line for line in service.log.splitlines() if "unhandled error" in line]
    assert "the-broken-one" in line
    cause = 'asyncpg.exceptions.UndefinedTableError: relation "tasks" does not exist (SQLSTATE 42P01)'
    assert cause in service.log.splitlines()
    assert CANARY not in service.log
