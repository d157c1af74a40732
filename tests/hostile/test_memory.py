"""One client cannot make the service grow, nor keep the others waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import psutil
import pytest

from tests import plain_http
from tests.databases import Database
from tests.hostile.wire import HOST, JSON, post
from tests.processes import Service

Serve = Callable[..., Service]

CHUNKED = b"POST %s HTTP/1.1\r\n" + HOST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
SENT_FOR_S = 3.0
MAY_GROW_BYTES = 100_000_000


@pytest.fixture
def service(migrated_database: Database, serve: Serve) -> Iterator[Service]:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json", TASKMANAGER_LOG_LEVEL="warning")
    service.wait_for("/tasks", 200)
    yield service
    assert "Traceback" not in service.log
    assert not [line for line in service.log.splitlines() if "exception.stacktrace" in line]


class Flood:
    """One connection that sends the same bytes as fast as they are taken, and reads what comes back."""

    def __init__(self, service: Service, head: bytes, again: bytes) -> None:
        self._process = psutil.Process(service.process.pid)
        self._before = self._process.memory_info().rss
        self._again = again
        self._connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        self._connection.sendall(head)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._send, self._read)]

    def _send(self) -> None:
        try:
            while not self._ended.is_set():
                self._connection.sendall(self._again)
        except OSError:
            return  # the server has had enough

    def _read(self) -> None:
        try:
            while self._connection.recv(1 << 20):
                pass
        except OSError:
            return

    def grown(self) -> int:
        return int(self._process.memory_info().rss) - int(self._before)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):  # it may be closed already
            self._connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=30)
        self._connection.close()


def judge(service: Service, head: bytes, again: bytes) -> None:
    most = 0
    with Flood(service, head, again) as flood, plain_http.Client(base_url=service.url, timeout=20) as neighbour:
        until = time.monotonic() + SENT_FOR_S
        while time.monotonic() < until:
            assert neighbour.get("/readyz").status_code == 200
            most = max(most, flood.grown())
            assert most < MAY_GROW_BYTES, f"{most / 1e6:.0f} MB more"
            time.sleep(0.1)
    service.wait_for("/tasks", 200)


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (CHUNKED.replace(b"%s", b"/tasks") + b"1;", b"x" * 100_000),
        (CHUNKED.replace(b"%s", b"/tasks"), b"0" * 100_000),
        (CHUNKED.replace(b"%s", b"/tasks"), b"1\r\nx\r\n" * 10_000),
        (CHUNKED.replace(b"%s", b"/nowhere") + b"ffffffffff\r\n", b"x" * 100_000),
        (b"", b"\r\n" * 50_000),
        (b"GET /", b"x" * 100_000),
        (b"", b"\x00" * 100_000),
    ],
    ids=["an extension", "a chunk size", "tiny chunks", "a body nobody wants", "blank lines", "a target", "nonsense"],
)
def test_what_never_ends_does_not_fill_the_memory(service: Service, head: bytes, again: bytes) -> None:
    judge(service, head, again)


@pytest.mark.parametrize("path", [b"/tasks", b"/nowhere"])
def test_trailers_without_end_do_not_fill_the_memory(service: Service, path: bytes) -> None:
    judge(service, CHUNKED.replace(b"%s", path) + b"0\r\n", b"a:b\r\n" * 20_000)


def test_requests_without_end_do_not_fill_the_memory(service: Service) -> None:
    judge(service, b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)


def test_clients_that_send_their_bodies_slowly_do_not_keep_the_others_out(service: Service) -> None:
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(post(b'{"title":"slow"}')[:-1])
        time.sleep(0.5)
        assert service.get("/tasks").status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_ten_thousand_requests_of_every_kind_leave_the_memory_as_it_was(service: Service) -> None:
    with plain_http.Client(base_url=service.url, timeout=20) as client:

        def use(rounds: int) -> None:
            for number in range(rounds):
                path = client.post("/tasks", json={"title": f"{number}"}).headers["location"]
                client.patch(path, json={"tags": [f"tag-{number}"]})
                client.get("/tasks", params={"q": f"word{number}", "limit": str(number % 200 + 1)})
                client.get(f"/nowhere/{number}")
                client.get("/tasks", params={f"unknown{number}": "x"})
                client.request("TRACE" if number % 2 else "PURGE", f"/{number}")
                client.delete(path, headers={"If-Match": f'"{number}"'})
                client.post("/tasks", content=b"{" * (number % 1000), headers={"Content-Type": "application/json"})
                client.get("/metrics")
                client.delete(path)

        process = psutil.Process(service.process.pid)
        use(200)
        before = process.memory_info().rss
        series = len(client.get("/metrics").text.splitlines())
        use(800)
        assert process.memory_info().rss - before < 20_000_000
        # Durations fall into other buckets, and no label is of a client's making.
        assert len(client.get("/metrics").text.splitlines()) == series
