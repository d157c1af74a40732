"""The load generator against servers that answer, refuse, stay silent and hang up."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from incident_lab import http_connections
from incident_lab import load as module
from incident_lab.http_connections import Connections, NoAnswer
from incident_lab.load import Load, main
from tests.databases import Database
from tests.processes import Service, free_port, run

Answering = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answering) -> AsyncIterator[tuple[str, list[str]]]:
    """A server whose every request goes to `answer`; its address, and the requests' methods as they came."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), 0)
                await reader.readexactly(length)
                seen.append(head.split(b" ")[0].decode())
                await answer(seen[-1], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            open_connections.discard(writer)

    open_connections: set[asyncio.StreamWriter] = set()
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", seen
    finally:
        listening.close()
        while open_connections:
            for writer in open_connections:
                writer.close()
            await asyncio.sleep(0.01)


def body(status: str, content: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status.encode(), len(content), more, content)


async def well(method: str, writer: asyncio.StreamWriter) -> None:
    if method == "POST":
        writer.write(body("201 Created", b'{"id": 7}'))
    elif method == "DELETE":
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    else:
        writer.write(body("200 OK", b"[]"))


async def test_each_request_goes_at_its_time_and_what_was_made_is_deleted_again() -> None:
    async with server(well) as (url, seen):
        load = Load(url, 100)
        seconds = await load.run(1.0)

    told = load.tally.as_json(seconds)
    assert load.tally.failed == 0
    assert told["sent"] == pytest.approx(100, abs=15)
    assert set(seen) == {"GET", "POST", "PATCH", "DELETE"}
    assert sum(load.tally.answers.values()) == load.tally.sent


async def test_the_rate_is_kept_where_answers_are_slow() -> None:
    async def slow(method: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await well(method, writer)

    async with server(slow) as (url, _):
        load = Load(url, 40)
        await load.run(1.0)

    assert load.tally.sent >= 30, "one after the other would be two"
    assert load.tally.percentile(0.5) >= 0.5


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        ("500 Internal Server Error", b'{"code": "internal_error"}', "500 internal_error"),
        ("503 Service Unavailable", b"<html>", "503"),
        ("302 Found", b"", "302"),
    ],
)
async def test_what_no_client_expects_is_a_failure(status: str, content: bytes, told: str) -> None:
    async def answer(method: str, writer: asyncio.StreamWriter) -> None:
        writer.write(body(status, content))

    async with server(answer) as (url, _):
        load = Load(url, 50)
        await load.run(0.3)

    assert load.tally.failed == load.tally.sent > 0
    assert {reason.partition(" ")[2] for reason in load.tally.unexpected} == {told}


async def test_a_task_that_is_gone_though_nobody_deleted_it_is_a_failure() -> None:
    async def forget(method: str, writer: asyncio.StreamWriter) -> None:
        if method == "DELETE":
            writer.write(body("404 Not Found", b'{"code": "task_not_found"}'))
        else:
            await well(method, writer)

    async with server(forget) as (url, _):
        load = Load(url, 100)
        await load.run(0.5)

    assert load.tally.failed > 0
    assert {*load.tally.unexpected} == {"delete 404 task_not_found"}


async def test_an_answer_that_says_nothing_of_the_new_task_is_counted_as_lost() -> None:
    async def nothing(method: str, writer: asyncio.StreamWriter) -> None:
        writer.write(body("201 Created" if method == "POST" else "200 OK", b"<html>"))

    async with server(nothing) as (url, _):
        load = Load(url, 50)
        await load.run(0.3)

    assert load.tally.lost["answered 201 without the task"] > 0
    assert sum(load.tally.answers.values()) + sum(load.tally.lost.values()) == load.tally.sent


async def test_a_head_without_an_end_is_no_answer() -> None:
    async def endless(method: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + 200_000 * b"x")

    async with server(endless) as (url, _):
        host, _, port = url.removeprefix("http://").partition(":")
        with pytest.raises(NoAnswer, match="LimitOverrunError"):
            await Connections(host, int(port), "", 5).ask("GET", "/tasks", None)


async def test_latencies_count_from_when_a_request_was_due() -> None:
    async with server(well) as (url, _):
        load = Load(url, 100)
        running = asyncio.create_task(load.run(0.6))
        await asyncio.sleep(0.1)
        # Nothing is sent meanwhile: a generator that is held up must not hide what its clients waited for.
        time.sleep(0.4)  # noqa: ASYNC251  the loop is to be blocked
        await running

    assert load.tally.percentile(1.0) >= 0.3
    assert load.tally.sent >= 45


async def test_no_more_tasks_are_made_than_are_deleted_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TASKS", 3)
    async with server(well) as (url, seen):
        load = Load(url, 200)
        await load.run(0.6)

    assert seen.count("DELETE") == seen.count("POST")


async def test_a_connection_that_ends_without_an_answer_is_a_lost_request_and_is_not_sent_again() -> None:
    async def hang_up(method: str, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with server(hang_up) as (url, seen):
        load = Load(url, 50)
        await load.run(0.3)

    assert load.tally.failed == load.tally.sent == len(seen) > 0
    assert all("waiting for the answer" in reason for reason in load.tally.lost)


async def test_an_answer_that_breaks_off_or_never_comes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(method: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
        writer.close()

    async def never(method: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    for answer in (half, never):
        async with server(answer) as (url, _):
            host, _, port = url.removeprefix("http://").partition(":")
            connections = Connections(host, int(port), "", 0.5)
            with pytest.raises(NoAnswer):
                await connections.ask("GET", "/tasks", None)


async def test_connections_are_kept_as_long_as_a_client_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0

    async with server(well) as (url, _):
        host, _, port = url.removeprefix("http://").partition(":")
        connections = Connections(host, int(port), "", 5)
        connect = asyncio.open_connection

        async def counted(*address: object) -> object:
            nonlocal opened
            opened += 1
            return await connect(*address)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio, "open_connection", counted)
        for _ in range(3):
            await connections.ask("GET", "/tasks", None)
        assert opened == 1
        monkeypatch.setattr(http_connections, "REST_SECONDS", 0.0)
        await connections.ask("GET", "/tasks", None)
        assert opened == 2
        connections.close()


async def test_an_answer_in_chunks_is_read_whole() -> None:
    async def chunks(method: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")

    async with server(chunks) as (url, _):
        host, _, port = url.removeprefix("http://").partition(":")
        connections = Connections(host, int(port), "", 5)
        assert (await connections.ask("GET", "/", None)).body == b"abcde"
        assert (await connections.ask("GET", "/", None)).body == b"abcde", "and the next is found behind it"
        connections.close()


def test_nobody_there_is_a_failure_of_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--url", f"http://127.0.0.1:{free_port()}", "--rate", "50", "--seconds", "0.2", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert code == 1
    assert told["lost"] == {"ConnectionRefusedError connecting": told["sent"]}


def test_the_service_itself_answers_all_as_a_client_may_expect(
    tasks_database: Database, serve: Callable[..., Service]
) -> None:
    service = serve(tasks_database)
    service.wait_for("/readyz", 200)

    done = run(
        sys.executable, "-m", "incident_lab.load", "--url", service.url, "--rate", "40", "--seconds", "2", "--json"
    )

    told = json.loads(done.stdout)
    # What the database was too slow for, beside other tests on a busy machine, is no fault of the load.
    busy = sum(count for reason, count in told["unexpected"].items() if "503 database_unavailable" in reason)
    assert (done.returncode, told["failed"]) == (1 if busy else 0, busy), told
    assert service.get("/tasks").json() == [], "it has tidied up"


@pytest.mark.parametrize("wrong", [("--rate", "0"), ("--rate", "fast"), ("--seconds", "-1")])
def test_a_wrong_command_line_is_told(wrong: tuple[str, str]) -> None:
    done = run(sys.executable, "-m", "incident_lab.load", *wrong)

    assert done.returncode == 2
    assert "is no number above 0" in done.stderr
