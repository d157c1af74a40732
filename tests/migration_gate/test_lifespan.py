"""An application's start and end with the watch around them, by ASGI's lifespan protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from migration_gate.asgi import App, Message, Receive, Scope, Send
from migration_gate.gate import SchemaGate

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


class Watch:
    """Notes what is asked of it, in the place of a `ProjectWatch`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(self) -> None:
        self.asked.append("start")

    async def first_verdict(self) -> None:
        self.asked.append("first verdict")

    async def stop(self) -> None:
        self.asked.append("stop")


async def _serve(app: App, *messages: Message) -> tuple[Watch, list[str]]:
    """Run an application's lifespan as a server does; what the watch was asked, and what the server was told."""
    gate = SchemaGate(app, config="alembic.ini")
    watch = Watch()
    gate._own = watch  # type: ignore[assignment]
    coming, told = list(messages), []

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop(0)

    async def send(message: Message) -> None:
        watch.asked.append(message["type"])
        told.append(message["type"])

    await gate({"type": "lifespan", "state": {}}, receive, send)
    return watch, told


def _app(*, at_start: str = "lifespan.startup.complete") -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": at_start})
        if at_start == "lifespan.startup.complete":
            assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})

    return app


async def test_the_start_is_complete_once_there_is_a_verdict_and_the_end_once_the_watch_has_ended() -> None:
    watch, told = await _serve(_app(), STARTUP, SHUTDOWN)

    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert watch.asked[:-1] == [
        "start",
        "first verdict",
        "lifespan.startup.complete",
        "stop",
        "lifespan.shutdown.complete",
    ]


async def test_an_application_that_fails_to_start_says_so_itself() -> None:
    watch, told = await _serve(_app(at_start="lifespan.startup.failed"), STARTUP)

    assert told == ["lifespan.startup.failed"]
    assert watch.asked[0] == "start"
    assert watch.asked[-1] == "stop"


async def _raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError(scope["type"])


async def _returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [_raises, _returns])
async def test_for_an_application_that_knows_no_lifespan_the_gate_answers(app: App) -> None:
    watch, told = await _serve(app, STARTUP, SHUTDOWN)

    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert watch.asked[:2] == ["start", "first verdict"]


async def test_an_application_that_raises_while_it_starts_is_told_to_the_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise RuntimeError("no cache")

    with pytest.raises(RuntimeError, match="no cache"):
        await _serve(app, STARTUP)


async def test_a_gate_that_is_off_starts_nothing() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    gate = SchemaGate(app, config=Path("nowhere.ini"), mode="off")
    await gate({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    await gate({"type": "http", "path": "/", "method": "GET", "headers": []}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan", "http"]
    assert gate._own is not None
    assert gate._own._task is None
