"""Whatever is sent: no fault of ours, a problem on every refusal, and what is accepted reads back equal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskmanager.app import create_app
from taskmanager.settings import Settings
from tests.databases import Database
from tests.taskmanager.problem_documents import problem_of

FIELDS = ("title", "description", "status", "priority", "due_at", "tags")
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Lone surrogates among them, which UTF-8 cannot hold and JSON's escapes can.
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
near_times = st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?"
                           r"(Z|[+-][0-2][0-9]:[0-6][0-9])\Z")  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), any_text, near_times,
    st.sampled_from(["todo", "in_progress", "done", "low", "normal", "high"]), st.lists(any_text, max_size=4),
)  # fmt: skip
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3), max_leaves=8
)
any_content = st.dictionaries(st.sampled_from(FIELDS) | any_text, any_json, max_size=7)


class Sender:
    """Sends requests to an application in this process, from tests that are no coroutines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient) -> None:
        self._loop = loop
        self._client = client

    def __call__(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if body is not None else None
        return self._loop.run_until_complete(self._client.request(method, path, content=body, headers=headers))


@pytest.fixture
def send(tasks_database: Database) -> Iterator[Sender]:
    # Hypothesis calls a test again and again from plain code, so the loop is this fixture's own.
    application = create_app(Settings(database_url=tasks_database.app_url, log_level="error"))
    with asyncio.Runner() as runner:
        lifespan = application.router.lifespan_context(application)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service")
        runner.run(lifespan.__aenter__())
        runner.run(application.state.watcher.first_answer())
        yield Sender(runner.get_loop(), client)
        runner.run(client.aclose())
        runner.run(lifespan.__aexit__(None, None, None))


def judge(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        problem_of(response, response.status_code)


def same_moment(sent: str | None, stored: str | None) -> bool:
    if sent is None or stored is None:
        return sent is stored
    return datetime.fromisoformat(sent.upper()) == datetime.fromisoformat(stored)


def judge_stored(send: Sender, sent: dict[str, Any], response: httpx.Response) -> None:
    stored = send("GET", f"/tasks/{response.json()['id']}").json()
    assert stored == response.json()
    assert stored["title"] == sent["title"].strip()
    assert stored["description"] == sent.get("description", "")
    assert stored["status"] == sent.get("status", "todo")
    assert stored["priority"] == sent.get("priority", "normal")
    assert same_moment(sent.get("due_at"), stored["due_at"])
    assert stored["tags"] == [tag.strip() for tag in sent.get("tags", [])]


@pytest.mark.parametrize("field", FIELDS)
def test_any_json_for_a_field_is_stored_or_refused(send: Sender, field: str) -> None:
    @many
    @given(any_json)
    @example(None)
    @example("\ud800")
    @example("a\0b")
    def try_it(value: Any) -> None:
        content = {"title": "t"} | {field: value}
        response = send("POST", "/tasks", json.dumps(content).encode())
        judge(response)
        if response.status_code == 201:
            judge_stored(send, content, response)

    try_it()


def test_any_object_is_stored_or_refused(send: Sender) -> None:
    @many
    @given(any_content, st.booleans())
    def try_it(content: dict[str, Any], titled: bool) -> None:
        content = content | ({"title": "t"} if titled else {})
        created = send("POST", "/tasks", json.dumps(content).encode())
        judge(created)
        if created.status_code == 201:
            judge_stored(send, content, created)
        judge(send("PUT", "/tasks/1", json.dumps(content).encode()))

    try_it()


def test_any_patch_changes_what_it_names_or_nothing(send: Sender) -> None:
    whole = {"title": "t", "description": "d", "status": "done", "priority": "low", "due_at": None, "tags": ["a"]}
    defaults = {"description": "", "status": "todo", "priority": "normal", "due_at": None, "tags": []}
    send("POST", "/tasks", json.dumps(whole).encode())

    @many
    @given(any_content)
    @example({"description": None, "status": None, "priority": None, "due_at": None, "tags": None})
    def try_it(patch: dict[str, Any]) -> None:
        before = send("PUT", "/tasks/1", json.dumps(whole).encode())
        patched = send("PATCH", "/tasks/1", json.dumps(patch).encode())
        judge(patched)
        after = send("GET", "/tasks/1")
        if patched.status_code != 200 or not patch:
            assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
            return
        # What a merge of the two by hand would have put (RFC 7396, section 2).
        merged = whole | {name: defaults[name] if value is None else value for name, value in patch.items()}
        assert patched.json() == after.json()
        judge_stored(send, merged, after)

    try_it()


def test_any_task_within_the_bounds_is_accepted(send: Sender) -> None:
    storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
    times = st.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1)).map(lambda time: time.isoformat() + "+01:00")  # noqa: DTZ001

    @many
    @given(storable.filter(str.strip), storable, st.none() | times)
    def try_it(title: str, description: str, due_at: str | None) -> None:
        content = {"title": title, "description": description, "due_at": due_at}
        # As UTF-8 where the tests of one field send escapes.
        response = send("POST", "/tasks", json.dumps(content, ensure_ascii=False).encode())
        assert response.status_code == 201, response.text
        judge_stored(send, content, response)

    try_it()


@pytest.mark.parametrize(("method", "path"), [("POST", "/tasks"), ("PUT", "/tasks/1"), ("PATCH", "/tasks/1")])
def test_any_bytes_for_a_body_are_refused_with_a_problem(send: Sender, method: str, path: str) -> None:
    @many
    @given(st.binary(max_size=200) | any_json.map(lambda value: json.dumps(value).encode()))
    def try_it(body: bytes) -> None:
        response = send(method, path, body)
        judge(response)
        # `{}` is a patch too, of a task that is not there.
        assert response.status_code in ({400, 422} if method != "PATCH" else {400, 422, 404})

    try_it()


def test_any_path_and_any_query_are_answered(send: Sender) -> None:
    @many
    @given(
        st.sampled_from(["GET", "DELETE", "HEAD", "OPTIONS", "PATCH"]), st.binary(max_size=30), st.binary(max_size=30)
    )
    def try_it(method: str, end: bytes, query: bytes) -> None:
        response = send(method, f"/tasks/{quote(end, safe='')}?{quote(query, safe='=&')}")
        assert response.status_code < 500
        judge(send("GET", f"/tasks?{quote(query, safe='=&')}"))
        judge(send("GET", f"/tasks?limit={quote(query, safe='')}"))

    try_it()
