"""The gate as plain ASGI, without any framework."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migration_gate.gate import Mode, SchemaGate, problem
from migration_gate.observed import Override
from migration_gate.states import State
from migration_gate.status import judge
from migration_gate.watch import Watcher
from tests.migration_gate.scratch import succeed
from tests.migration_gate.scripted import AHEAD, AWAY, BEHIND, CURRENT, watching
from tests.migration_gate.verdict_cases import CASES, LINE, Case
from tests.processes import run

Message = MutableMapping[str, Any]


@pytest.fixture(autouse=True)
def first_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """How long a request waits for it: hardly, since most of these watchers never look."""

    def within(seconds: float) -> None:
        monkeypatch.setattr("migration_gate.gate.FIRST_LOOK_WITHIN_S", seconds)

    within(0.01)
    return within


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


@pytest.mark.parametrize(("observed", "status"), [(CURRENT, 200), (BEHIND, 503)])
async def test_who_comes_before_the_first_look_waits_for_its_end(
    observed: Any, status: int, first_look: Callable[[float], None]
) -> None:
    first_look(30)
    watcher = watching(observed)
    gate, application = _gate(watcher)
    early = asyncio.create_task(_ask(gate))
    await asyncio.sleep(0.01)
    assert not early.done()
    assert application.scopes == []

    await watcher.check()

    told, _, body = await early
    assert told == status
    assert b"unreachable" not in body


async def test_who_waits_for_a_look_that_does_not_end_is_refused() -> None:
    gate, application = _gate(watching(CURRENT))

    assert (await _ask(gate))[0] == 503
    assert (await _ask(gate, "/livez"))[0] == 200
    assert len(application.scopes) == 1


def test_the_problem_is_named_by_the_state() -> None:
    assert problem(judge(LINE, BEHIND))["code"] == "behind"


FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_is_shown_a_page_that_asks_again_by_itself(method: str) -> None:
    watcher = watching(BEHIND)
    await watcher.check()
    gate, _ = _gate(watcher)

    status, headers, body = await _ask(gate, method=method, headers=[(b"accept", FIREFOX.encode())])

    assert status == 503
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["retry-after"] == headers["refresh"] == "5"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept, Accept-Language"
    assert headers["content-language"] == "en"
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    if method == "HEAD":
        assert body == b""
        assert int(headers["content-length"]) > 1000
    else:
        assert int(headers["content-length"]) == len(body)
        assert b"alembic upgrade head" in body


async def test_a_french_browser_is_shown_a_french_page() -> None:
    watcher = watching(BEHIND)
    await watcher.check()
    gate, _ = _gate(watcher)
    headers = [(b"accept", FIREFOX.encode()), (b"accept-language", b"fr-FR,fr;q=0.9,en;q=0.7")]

    _, answered, body = await _ask(gate, headers=headers)

    assert answered["content-language"] == "fr"
    assert "Le schéma de la base est en retard sur le code" in body.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_who_wants_to_write_gets_the_problem_whatever_it_accepts(method: str) -> None:
    gate, _ = _gate(watching(BEHIND))

    _, headers, _ = await _ask(gate, method=method, headers=[(b"accept", FIREFOX.encode())])

    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("mode", "status"), [("enforce", 503), ("warn", 200), ("off", 200)])
async def test_a_mode_may_be_given_by_its_text(mode: str, status: int) -> None:
    gate = SchemaGate(Application(), watching(AWAY), mode)

    assert (await _ask(gate))[0] == status


async def test_liveness_and_metrics_are_open_unless_told_otherwise_and_readiness_is_not() -> None:
    gate = SchemaGate(Application(), watching(AWAY))

    answers = {path: (await _ask(gate, path))[0] for path in ("/livez", "/healthz", "/metrics", "/readyz", "/")}

    assert answers == {"/livez": 200, "/healthz": 200, "/metrics": 200, "/readyz": 503, "/": 503}


async def test_an_override_lets_traffic_through_whatever_the_state() -> None:
    override = Override(datetime.now(UTC) + timedelta(minutes=5), "a demonstration", "ada")
    watcher = watching(replace(BEHIND, override=override))
    gate, _ = _gate(watcher)
    before = (await _ask(gate))[0]

    verdict = await watcher.check()

    assert (before, (await _ask(gate))[0]) == (503, 200)
    assert verdict.override == override
    assert verdict.status.state is State.BEHIND


@pytest.mark.parametrize(
    "arguments",
    [{}, {"watcher": watching(AWAY), "config": "alembic.ini"}, {"watcher": watching(AWAY), "url": "postgresql://h/d"}],
    ids=["neither", "both", "an address for somebody else's watcher"],
)
def test_it_takes_either_a_watcher_or_a_configuration(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="either a watcher, or config"):
        SchemaGate(Application(), **arguments)


def test_an_unknown_mode_is_an_error_of_whoever_writes_it() -> None:
    with pytest.raises(ValueError, match="enforced"):
        SchemaGate(Application(), watching(AWAY), "enforced")


def test_the_package_names_it_without_importing_it_before_it_is_asked_for() -> None:
    code = (
        "import sys, migration_gate; assert 'migration_gate.gate' not in sys.modules\n"
        "from migration_gate import SchemaGate; assert SchemaGate is sys.modules['migration_gate.gate'].SchemaGate"
    )

    succeed(run(sys.executable, "-c", code))
