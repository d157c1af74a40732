"""Bodies that are no task: what is refused, and as what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from taskmanager.app import LARGEST_BODY_BYTES
from tests.taskmanager.problem_documents import pointers_of, problem_of

JSON = {"Content-Type": "application/json"}


async def post(client: httpx.AsyncClient, body: bytes, content_type: str = "application/json") -> httpx.Response:
    return await client.post("/tasks", content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"true", b"1e999", b'[{"title":"t"}]'])
async def test_json_that_is_no_object_is_refused_at_its_root(client: httpx.AsyncClient, body: bytes) -> None:
    assert pointers_of(await post(client, body)) == ["#"]


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("body", [b"%s", b'{"title":%s}', b'{"title":"t","due_at":%s}', b'{"title":"t","x":[%s]}'])
async def test_what_javascript_calls_a_number_and_json_does_not_is_malformed(
    client: httpx.AsyncClient, body: bytes, constant: bytes
) -> None:
    problem_of(await post(client, body % constant), 400, "malformed_json")


@pytest.mark.parametrize(
    "number", [b"1e999", b"-1e999", b"9223372036854775808", b"-" + b"9" * 4000, b"0." + b"1" * 5000, b"-0"]
)
async def test_a_number_that_no_column_could_hold_is_refused_at_its_field(
    client: httpx.AsyncClient, number: bytes
) -> None:
    assert pointers_of(await post(client, b'{"title":' + number + b"}")) == ["#/title"]
    assert pointers_of(await post(client, b'{"title":"t","tags":[' + number + b"]}")) == ["#/tags/0"]


async def test_an_empty_body_is_a_missing_one(client: httpx.AsyncClient) -> None:
    assert pointers_of(await post(client, b"")) == ["#"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"title":"t"',
        b'{"title":"t"}}',
        b"{'title':'t'}",
        b'{"title":"t",}',
        b'{"title":"a\nb"}',
        b"title=t",
        b'{"title":"\\x"}',
        b'{"title":"\\ud8"}',
        b" ",
    ],
)
async def test_what_is_no_json_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    problem_of(await post(client, body), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"\xff"}',
        b'{"title":"\xc3"}',
        b'{"title":"\xc0\x80"}',
        '{"title":"é"}'.encode("latin-1"),
        b"[" * 60_000,
        b'{"title":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"title":' + b"1" * 50_000 + b"}",
    ],
    ids=["no UTF-8", "cut off", "overlong", "latin-1", "open", "nested", "nested objects", "a number of 50,000 digits"],
)
async def test_what_cannot_be_read_is_a_bad_request(client: httpx.AsyncClient, body: bytes) -> None:
    problem_of(await post(client, body), 400, "malformed_json")


async def test_a_hundred_thousand_brackets_are_too_large(client: httpx.AsyncClient) -> None:
    problem_of(await post(client, b"[" * 100_000), 413, "content_too_large")


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"\\ud800"}',
        b'{"title":"a\\udfff"}',
        b'{"title":"t","\\ud800":1}',
        b'{"title":"t","tags":["\\udbff"]}',
    ],
)
async def test_a_lone_surrogate_is_no_character_anywhere(client: httpx.AsyncClient, body: bytes) -> None:
    problem_of(await post(client, body), 400, "malformed_json")


async def test_surrogates_in_pairs_are_one_character(client: httpx.AsyncClient) -> None:
    assert (await post(client, b'{"title":"\\ud83d\\ude80"}')).json()["title"] == "\U0001f680"


async def test_of_a_field_that_is_given_twice_the_last_one_counts(client: httpx.AsyncClient) -> None:
    assert (await post(client, b'{"title":"first","title":"last"}')).json()["title"] == "last"
    assert pointers_of(await post(client, b'{"title":"first","title":""}')) == ["#/title"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
async def test_json_is_utf_8_without_a_byte_order_mark(client: httpx.AsyncClient, encoding: str) -> None:
    # RFC 8259, section 8.1. Whoever guesses the encoding reads what the one before in the chain has not read.
    problem_of(await post(client, '{"title":"été"}'.encode(encoding)), 400, "malformed_json")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"]
)
async def test_json_may_be_named_in_each_of_its_ways(client: httpx.AsyncClient, content_type: str) -> None:
    assert (await post(client, b'{"title":"t"}', content_type)).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "application/xml", "json", "/", ";", "\xff"],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_that_does_not_say_it_is_json_is_not_read(
    client: httpx.AsyncClient, method: str, content_type: str
) -> None:
    path = "/tasks" if method == "POST" else "/tasks/1"
    headers = [(b"Content-Type", content_type.encode("latin-1"))]

    response = await client.request(method, path, content=b'{"title":"t"}', headers=headers)

    problem_of(response, 415, "unsupported_media_type")


async def test_a_body_without_a_content_type_is_not_read(client: httpx.AsyncClient) -> None:
    problem_of(await client.post("/tasks", content=b'{"title":"t"}'), 415, "unsupported_media_type")


def task_of(size: int) -> bytes:
    """A valid task in a body of `size` bytes."""
    body = json.dumps({"title": "t"}).encode()
    return body + b" " * (size - len(body))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


async def test_a_body_may_have_sixty_four_kibibytes_and_not_one_byte_more(client: httpx.AsyncClient) -> None:
    assert LARGEST_BODY_BYTES == 64 * 1024
    assert (await post(client, task_of(LARGEST_BODY_BYTES))).status_code == 201
    problem_of(await post(client, task_of(LARGEST_BODY_BYTES + 1)), 413, "content_too_large")


async def test_the_bound_holds_for_a_body_that_does_not_tell_its_size(client: httpx.AsyncClient) -> None:
    accepted = await client.post("/tasks", content=in_pieces(task_of(LARGEST_BODY_BYTES)), headers=JSON)
    assert accepted.status_code == 201
    refused = await client.post("/tasks", content=in_pieces(task_of(LARGEST_BODY_BYTES + 1)), headers=JSON)
    problem_of(refused, 413, "content_too_large")


async def test_no_path_takes_a_larger_body(client: httpx.AsyncClient) -> None:
    for method, path in (("PUT", "/tasks/1"), ("GET", "/tasks"), ("POST", "/nowhere"), ("GET", "/health")):
        response = await client.request(method, path, content=task_of(LARGEST_BODY_BYTES + 1), headers=JSON)
        problem_of(response, 413, "content_too_large")
