"""Our own load generator, for what wrk does not tell: each request's status and latency, and what was lost.

One thread, one event loop, connections over loopback that are kept open. It sends GET requests alone.

Closed loop: each connection sends its next request when its last one is answered, a refusal included.
Open loop: requests arrive by the clock, whatever became of those before. One that finds no free connection waits in
the generator, and its latency counts from its arrival, so that a slow server cannot slow its own measurement down.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import uvloop

from benchmarks.tally import Tally

REFUSED = 503
DRAIN_S = 10.0
TICK_S = 0.001  # arrivals of the same millisecond come together

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_RETRY_AFTER = b"\r\nretry-after:"


def closed_loop(port: int, request: bytes, *, connections: int, seconds: float) -> Tally:
    """Load a server on this machine with so many connections."""
    return _run(_Closed(request, seconds), port, connections)


def open_loop(port: int, request: bytes, *, rate: float, connections: int, seconds: float) -> Tally:
    """Load a server on this machine with `rate` requests a second, over `connections` at most."""
    return _run(_Open(request, seconds, rate), port, connections)


class _Load:
    """What both loops share: connections that are open, and the tally."""

    def __init__(self, request: bytes, seconds: float) -> None:
        self.request = request
        self.tally = Tally(seconds)
        self.under_way = 0
        self.sending = False
        self.drained = asyncio.Event()

    def begin(self, connections: list[_Connection]) -> None:
        raise NotImplementedError

    def free(self, connection: _Connection) -> None:
        """A connection whose request was answered."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Count what arrived and found no connection to the end."""

    def send(self, connection: _Connection, arrived: float) -> None:
        self.tally.sent += 1
        self.under_way += 1
        connection.send(self.request, arrived)

    def answered(self, connection: _Connection, head: bytes, elapsed_s: float) -> None:
        status = int(head[9:12])
        if status == 200:
            self.tally.answered_ms.append(elapsed_s * 1000)
        elif status == REFUSED:
            self.tally.refused_ms.append(elapsed_s * 1000)
            self.tally.refused_without_retry_after += _RETRY_AFTER not in head.lower()
        else:
            self.tally.other_statuses[status] += 1
        self.under_way -= 1
        self.free(connection)
        if not self.under_way:
            self.drained.set()

    def broken(self, had_request: bool) -> None:
        self.tally.connections_broken += 1
        self.under_way -= had_request
        if not self.under_way:
            self.drained.set()


class _Closed(_Load):
    def begin(self, connections: list[_Connection]) -> None:
        self.sending = True
        for connection in connections:
            self.send(connection, time.perf_counter())

    def free(self, connection: _Connection) -> None:
        if self.sending:
            self.send(connection, time.perf_counter())


class _Open(_Load):
    def __init__(self, request: bytes, seconds: float, rate: float) -> None:
        super().__init__(request, seconds)
        self._rate = rate
        self._idle: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._ticks = 0
        self._arrived = 0

    def begin(self, connections: list[_Connection]) -> None:
        self.sending = True
        self._idle = connections
        self._began = time.perf_counter()
        self._tick()

    def _tick(self) -> None:
        if not self.sending:
            return
        late_s = time.perf_counter() - self._began - self._ticks * TICK_S
        self.tally.late_ms.append(late_s * 1000)
        while (now := self._began + self._ticks * TICK_S) <= time.perf_counter():
            self._ticks += 1
            due = int(self._ticks * TICK_S * self._rate)
            for _ in range(due - self._arrived):
                if self._idle:
                    self.send(self._idle.pop(), now)
                else:
                    self._waiting.append(now)
            self._arrived = due
        next_s = self._began + self._ticks * TICK_S - time.perf_counter()
        asyncio.get_running_loop().call_later(max(0.0, next_s), self._tick)

    def give_up(self) -> None:
        self.tally.sent += len(self._waiting)

    def free(self, connection: _Connection) -> None:
        if self._waiting:
            self.send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)


class _Connection(asyncio.Protocol):
    __slots__ = ("_arrived", "_closing", "_expected", "_load", "_received", "_transport", "_waiting")

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._expected = 0
        self._waiting = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is none of asyncio's classes, and does all that they do.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, arrived: float) -> None:
        self._arrived = arrived
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if not self._expected:
            end = received.find(_HEAD_END)
            if end < 0:
                return
            self._expected = end + len(_HEAD_END) + _content_length(received[: end + 2])
        if len(received) < self._expected:
            return
        elapsed_s = time.perf_counter() - self._arrived
        self._received, self._expected, self._waiting = b"", 0, False
        self._load.answered(self, received[: received.find(_HEAD_END) + 2], elapsed_s)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closing:
            self._load.broken(self._waiting)

    def close(self) -> None:
        self._closing = True
        self._transport.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(_LENGTH)
    return int(rest[: rest.index(b"\r\n")]) if found else 0


def _run(load: _Load, port: int, connections: int) -> Tally:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, _without_gc():
        return runner.run(_drive(load, port, connections))


async def _drive(load: _Load, port: int, connections: int) -> Tally:
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    cpu_s, began = time.process_time(), time.perf_counter()
    load.begin(list(opened))
    await asyncio.sleep(load.tally.seconds)
    load.sending = False
    load.tally.generator_cpu_share = (time.process_time() - cpu_s) / (time.perf_counter() - began)
    load.drained.clear()
    if load.under_way:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load.drained.wait(), DRAIN_S)
    load.give_up()
    for connection in opened:
        connection.close()
    return load.tally


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """A pause of the generator would be told as the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
