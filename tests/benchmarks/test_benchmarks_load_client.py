"""The load generator counts what a server did with each request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load_client import closed_loop, open_loop
from benchmarks.loopback import Connection, get_request
from benchmarks.tally import Tally

REQUEST = get_request("/tasks", {"Authorization": "Bearer x"})

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nContent-Length: 0\r\n\r\n"
REFUSED_BARE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
BREAK = b""

Answers = Callable[[int], bytes]


class StubServer:
    """Answers the nth request with `answers(n)`, in two parts; breaks the connection where that is empty."""

    def __init__(self, answers: Answers, pause_s: float = 0.0) -> None:
        self.port = 0
        self.received = 0
        self._answers = answers
        self._pause_s = pause_s
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._end.wait()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.received += 1
                answer = self._answers(self.received)
                if not answer:
                    writer.transport.abort()
                    return
                await asyncio.sleep(self._pause_s)
                writer.write(answer[:20])
                await asyncio.sleep(0)
                writer.write(answer[20:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def __enter__(self) -> StubServer:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)


@contextmanager
def loaded(answers: Answers, pause_s: float = 0.0) -> Iterator[tuple[StubServer, Callable[..., Tally]]]:
    with StubServer(answers, pause_s) as server:
        yield server, lambda **load: closed_loop(server.port, REQUEST, **load)


def test_every_request_of_a_closed_loop_is_answered_and_counted() -> None:
    with loaded(lambda _: OK) as (server, load):
        tally = load(connections=4, seconds=0.2)

    assert tally.sent == server.received == len(tally.answered_ms) > 10
    assert (tally.lost, tally.connections_broken, len(tally.refused_ms)) == (0, 0, 0)


def test_a_latency_is_the_servers_pause() -> None:
    with loaded(lambda _: OK, pause_s=0.02) as (_, load):
        tally = load(connections=2, seconds=0.2)

    assert 20 <= min(tally.answered_ms) < 200
    assert tally.rate < 110


def test_refusals_are_told_apart_and_those_without_retry_after_counted() -> None:
    with loaded(lambda n: (OK, REFUSED, REFUSED_BARE)[n % 3]) as (_, load):
        tally = load(connections=1, seconds=0.2)

    assert len(tally.refused_ms) == pytest.approx(2 * len(tally.answered_ms), abs=2)
    assert tally.refused_without_retry_after == pytest.approx(len(tally.answered_ms), abs=1)


def test_another_status_is_neither_an_answer_nor_lost() -> None:
    with loaded(lambda n: OK if n > 3 else FAILED) as (_, load):
        tally = load(connections=1, seconds=0.1)

    assert tally.other_statuses == {500: 3}
    assert tally.lost == 0


def test_a_broken_connection_loses_its_request() -> None:
    with loaded(lambda n: BREAK if n == 5 else OK) as (_, load):
        tally = load(connections=2, seconds=0.1)

    assert (tally.connections_broken, tally.lost) == (1, 1)


def test_what_is_under_way_at_the_end_is_waited_for() -> None:
    with loaded(lambda _: OK, pause_s=0.15) as (server, load):
        began = time.monotonic()
        tally = load(connections=3, seconds=0.05)

    assert tally.sent == len(tally.answered_ms) == server.received == 3
    assert time.monotonic() - began >= 0.15


def test_an_open_loop_sends_by_the_clock_whatever_the_server_does() -> None:
    with StubServer(lambda _: OK, pause_s=0.01) as server:
        tally = open_loop(server.port, REQUEST, rate=400, connections=50, seconds=0.5)

    assert tally.sent == pytest.approx(200, rel=0.2)
    assert tally.lost == 0


def test_an_open_loop_counts_the_wait_for_a_connection() -> None:
    # One connection serves 50 a second, of 200 that come: the last one waits for most of a second and a half.
    with StubServer(lambda _: OK, pause_s=0.02) as server:
        tally = open_loop(server.port, REQUEST, rate=200, connections=1, seconds=0.5)

    assert tally.sent == len(tally.answered_ms) == pytest.approx(100, rel=0.2)
    assert max(tally.answered_ms) > 700


def test_one_connection_reads_status_head_and_body() -> None:
    linked = b'HTTP/1.1 200 OK\r\nLINK: </tasks?cursor=x>; rel="next"\r\nContent-Length: 2\r\n\r\n[]'
    with StubServer(lambda _: linked) as server, Connection(server.port, {}) as connection:
        answers = [connection.get("/tasks") for _ in range(2)]

    assert [(answer.status, answer.body, answer.header("link")) for answer in answers] == [
        (200, b"[]", '</tasks?cursor=x>; rel="next"')
    ] * 2
