"""An application with the gate before it, which reads the timetable as the application's role."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from migration_gate import SchemaGate
from tests.migration_gate.failures.ferries import Ferries

# The child that runs env.py needs a second, and on a busy machine many.
_WITHIN_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What a client got: the status, the problem's code (None where traffic flows), and the gate's state and words."""

    status: int
    code: str | None
    state: str
    evidence: str
    solution: str
    rung: str | None


def ask(ferries: Ferries, *, url: str | None = None, statements: dict[str, str | None] | None = None) -> Answer:
    """Start the application with a gate of its own, wait for its first verdict, and ask for the departures."""
    return asyncio.run(_ask(ferries, url or ferries.database.app_url, statements or {}))


async def _ask(ferries: Ferries, url: str, statements: dict[str, str | None]) -> Answer:
    async def departures(scope: Any, receive: Any, send: Any) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("SELECT name, leaves FROM ferry.departure")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"departures"})

    config = ferries.folder / "alembic.ini"
    gate = SchemaGate(departures, config=config, url=url, statements=statements or None)
    transport = httpx.ASGITransport(gate)
    async with httpx.AsyncClient(transport=transport, base_url="http://ferries") as client:
        response = await client.get("/departures")
        async with asyncio.timeout(_WITHIN_S):
            while not _is_told(gate):  # noqa: ASYNC110  the gate's own watch is not ours to wait on
                await asyncio.sleep(0.05)
        response = await client.get("/departures")
    status = gate.verdict.status
    return Answer(
        response.status_code,
        response.json()["code"] if response.status_code == 503 else None,
        status.state.value,
        status.evidence,
        status.solution,
        status.rung,
    )


def _is_told(gate: SchemaGate) -> bool:
    """A verdict, or a reason why there is none."""
    verdict = gate.verdict
    return verdict.checked_at is not None or verdict.status.rung is not None


def assert_flows(ferries: Ferries) -> None:
    """`status` says current, and a client gets the departures."""
    ferries.assert_current()
    answer = ask(ferries)
    assert (answer.status, answer.state) == (200, "current"), answer
