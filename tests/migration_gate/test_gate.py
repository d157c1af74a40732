"""The gate as plain ASGI, without any framework."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from migration_gate.gate import TITLES, Mode, SchemaGate, problem
from migration_gate.status import State, judge
from migration_gate.watch import Watcher
from tests.migration_gate.scripted import AHEAD, AWAY, BEHIND, CURRENT, watching
from tests.migration_gate.verdict_cases import CASES, LINE, Case

Message = MutableMapping[str, Any]


class Application:
    """Remembers who came through."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: object, send: Any) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"books"})


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ask(gate: SchemaGate, path: str = "/books", **scope: Any) -> tuple[int, dict[str, str], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await gate({"type": "http", "method": "GET", "path": path, "headers": []} | scope, _receive, send)
    start, body = sent
    return start["status"], {key.decode(): value.decode() for key, value in start["headers"]}, body["body"]


def _gate(watcher: Watcher, mode: Mode = Mode.ENFORCE) -> tuple[SchemaGate, Application]:
    application = Application()
    return SchemaGate(application, watcher, mode, {"/livez", "/health"}), application


async def test_a_request_is_refused_with_both_revisions_and_the_command() -> None:
    watcher = watching(BEHIND)
    await watcher.check()
    gate, application = _gate(watcher)

    status, headers, body = await _ask(gate, state={"request_id": "r-1"})

    assert status == 503
    assert headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "retry-after": "2",
        "cache-control": "no-store",
    }
    document = json.loads(body)
    assert document["type"] == "/problems/behind"
    assert document["title"] == "The database schema is behind the code"
    assert (document["status"], document["code"]) == (503, "behind")
    assert document["database_revisions"] == ["beef"]
    assert document["code_heads"] == ["0abc"]
    assert "alembic upgrade head" in document["detail"]
    assert (document["instance"], document["request_id"]) == ("/books", "r-1")
    assert application.scopes == []


async def test_a_refusal_names_neither_the_database_nor_the_role() -> None:
    for case in CASES:
        text = json.dumps(problem(judge(case.expected, case.observed)))
        assert "library" not in text
        assert "reader" not in text


async def test_a_head_request_is_refused_without_a_body_and_with_the_length_of_it() -> None:
    gate, _ = _gate(watching(CURRENT))
    _, got, body = await _ask(gate)

    status, headers, nothing = await _ask(gate, method="HEAD")

    assert status == 503
    assert nothing == b""
    assert headers == got
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize("path", ["/livez", "/health"])
async def test_an_open_path_answers_in_every_state(path: str) -> None:
    gate, application = _gate(watching(AWAY))

    assert (await _ask(gate, path))[0] == 200
    assert len(application.scopes) == 1


@pytest.mark.parametrize("path", ["/livez/", "/livez/../books", "//livez", "/LIVEZ", "/health/x", ""])
async def test_a_path_that_only_resembles_an_open_one_is_closed(path: str) -> None:
    gate, application = _gate(watching(AWAY))

    assert (await _ask(gate, path))[0] == 503
    assert application.scopes == []


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
async def test_a_gate_that_does_not_enforce_lets_everything_through(mode: Mode) -> None:
    gate, application = _gate(watching(BEHIND), mode)

    assert (await _ask(gate))[0] == 200
    assert len(application.scopes) == 1


@pytest.mark.parametrize("observed", [CURRENT, AHEAD], ids=["current", "ahead"])
async def test_a_servable_schema_lets_the_scope_through_untouched(observed: Any) -> None:
    watcher = watching(observed)
    await watcher.check()
    gate, application = _gate(watcher)

    status, _, body = await _ask(gate)

    assert (status, body) == (200, b"books")
    assert application.scopes == [{"type": "http", "method": "GET", "path": "/books", "headers": []}]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_gate_does_in_every_state_what_the_verdict_says(case: Case) -> None:
    watcher = watching(case.observed)
    watcher._expected = case.expected
    verdict = await watcher.check()
    gate, _ = _gate(watcher)

    assert (await _ask(gate))[0] == (200 if verdict.servable else 503)


async def test_the_lifespan_is_none_of_its_business() -> None:
    gate, application = _gate(watching(AWAY))

    await _ask(gate, type="lifespan")

    assert [scope["type"] for scope in application.scopes] == ["lifespan"]


async def test_a_websocket_is_closed_to_be_tried_again_later() -> None:
    gate, application = _gate(watching(AWAY))
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await gate({"type": "websocket", "path": "/tasks"}, receive, send)

    assert application.scopes == []
    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_the_gate_opens_and_closes_by_itself() -> None:
    watcher = watching(BEHIND, CURRENT, AWAY, BEHIND)
    gate, _ = _gate(watcher)
    answers = [(await _ask(gate))[0]]
    for _ in range(4):
        await watcher.check()
        answers.append((await _ask(gate))[0])

    assert answers == [503, 503, 200, 200, 503]


def test_every_state_has_a_title() -> None:
    assert set(TITLES) == set(State)
    assert problem(judge(LINE, BEHIND))["code"] == "behind"
