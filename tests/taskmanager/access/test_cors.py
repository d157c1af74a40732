"""Which pages of other origins may call, and what their browsers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmanager.access.cors import read_origins
from taskmanager.access.key_lines import new_key
from taskmanager.app import create_app
from taskmanager.settings import Auth, Settings

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
NAMED = "https://app.example.com"
STRANGER = "https://elsewhere.example"
_, STORED = new_key(["tasks:read"])


@asynccontextmanager
async def serving(origins: str = NAMED, auth: Auth = Auth.NONE) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(database_url=NOWHERE, cors_origins=read_origins(origins), auth=auth, keys=STORED.line())
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def preflight(origin: str, method: str = "PATCH") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,if-match",
    }


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


async def test_a_named_origin_is_told_all_that_it_may_do_without_a_key() -> None:
    async with serving(auth=Auth.API_KEY) as client:
        answer = await client.options("/tasks/1", headers=preflight(NAMED))

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == NAMED
    assert words(answer.headers["access-control-allow-methods"]) == {"get", "head", "post", "put", "patch", "delete"}
    assert words(answer.headers["access-control-allow-headers"]) == {
        "authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"
    }  # fmt: skip
    assert answer.headers["access-control-max-age"] == "600"
    assert "origin" in words(answer.headers["vary"])
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_stranger_is_refused_with_a_problem_that_names_the_setting() -> None:
    async with serving() as client:
        answer = await client.options("/tasks/1", headers=preflight(STRANGER))

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "origin_not_allowed"
    assert "TASKMANAGER_CORS_ORIGINS" in answer.json()["detail"]
    assert STRANGER not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "origin" in words(answer.headers["vary"])


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/tasks", 401), ("/health", 503)])
async def test_a_page_can_read_every_answer_errors_too(path: str, status: int) -> None:
    async with serving(auth=Auth.API_KEY) as client:
        answer = await client.get(path, headers={"Origin": NAMED})

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == NAMED
    exposed = {"accept-patch", "allow", "etag", "idempotency-replayed", "link", "location", "retry-after"}
    exposed |= {"www-authenticate", "x-request-id"}
    assert words(answer.headers["access-control-expose-headers"]) == exposed
    assert "origin" in words(answer.headers["vary"])


@pytest.mark.parametrize(
    "origin", [STRANGER, "null", NAMED + ".evil.example", NAMED.upper(), NAMED + ":444", "http://app.example.com", ""]
)
async def test_a_page_of_another_origin_cannot(origin: str) -> None:
    async with serving() as client:
        answer = await client.get("/livez", headers={"Origin": origin})

    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    # Or a cache would hand this answer to a page that may.
    assert "origin" in words(answer.headers["vary"])


async def test_each_of_several_origins_is_answered_with_its_own_name() -> None:
    async with serving(f"{NAMED}, http://localhost:3000") as client:
        for origin in (NAMED, "http://localhost:3000"):
            answer = await client.get("/livez", headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin


async def test_any_origin_is_one_answer_for_all() -> None:
    async with serving("*") as client:
        asked = await client.options("/tasks", headers=preflight(STRANGER, "POST"))
        answer = await client.get("/livez", headers={"Origin": STRANGER})

    assert asked.status_code == 204
    for told in (asked, answer):
        assert told.headers["access-control-allow-origin"] == "*"
        assert "vary" not in told.headers


async def test_unless_origins_are_named_nothing_is_said() -> None:
    async with serving("") as client:
        answers = [
            await client.get("/livez", headers={"Origin": NAMED}),
            await client.options("/tasks", headers=preflight(NAMED)),
        ]

    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "vary" not in answer.headers


async def test_options_without_an_origin_is_no_preflight() -> None:
    async with serving() as client:
        answer = await client.options("/tasks")

    assert "access-control-allow-methods" not in answer.headers
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        (" , ", ()),
        ("https://A.Example", ("https://a.example",)),
        ("https://a.example:443,http://b:80,http://b", ("https://a.example", "http://b")),
        ("https://a.example:8443", ("https://a.example:8443",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("*", ("*",)),
    ],
)
def test_origins_are_read_as_browsers_send_them(text: str, origins: tuple[str, ...]) -> None:
    assert read_origins(text) == origins


@pytest.mark.parametrize(
    "text",
    [
        "a.example",
        "https://",
        "https://a.example/",
        "https://a.example/path",
        "https://a.example?x",
        "https://user@a.example",
        "https://a.example:0",
        "https://a.example:65536",
        "https://*.example",
        "https://é.example",
        "ftp://a.example",
        "null",
        "*,https://a.example",
        "https://a.example https://b.example",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no origin|stands for every origin"):
        read_origins(text)


@given(st.text(max_size=60))
def test_any_text_is_origins_or_is_refused(text: str) -> None:
    try:
        origins = read_origins(text)
    except ValueError:
        return
    assert read_origins(",".join(origins)) == origins
