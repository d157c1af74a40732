"""What the server itself refuses while the service has no room, whatever else comes on the connection."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from taskmanager.server.refusals import HOLD_EACH_S
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.raw_http import connected, everything

Serve = Callable[..., Service]

PLACES = 2
HURRIED = (sys.executable, "-m", "tests.taskmanager.hurried_service", "{port}")

GET = b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_GET = b"GET /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"POST /tasks HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}"
POST_HEAD = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture
def full(migrated_database: Database, serve: Serve) -> Iterator[Service]:
    """A service all of whose places are taken for about a second."""
    service = serve(migrated_database, command=HURRIED, TASKMANAGER_MAX_IN_FLIGHT=str(PLACES))
    service.wait_for("/tasks", 200)
    with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(PLACES) as clients:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        taken = [clients.submit(service.get, "/tasks") for _ in range(PLACES)]
        deadline = time.monotonic() + 5
        while migrated_database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted") != [(PLACES,)]:
            assert time.monotonic() < deadline
        yield service
        other.rollback()
        for answer in taken:
            answer.result()


def statuses(service: Service, *pieces: bytes) -> list[bytes]:
    """The statuses of all answers to what is sent, up to the end of the connection."""
    with connected(service.port) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.03)
        received = everything(connection)
    return [answer[:3] for answer in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([GET * 3 + LIVEZ + GET * 2 + LAST_GET], b"503 503 503 200 503 503 503"),
        ([GET, LIVEZ, GET, LAST_GET], b"503 200 503 503"),
        ([LAST_GET + GET + LIVEZ], b"503"),
        ([UPGRADE], b"503"),
        ([LIVEZ, UPGRADE + LIVEZ], b"200 503"),
        ([LIVEZ, UPGRADE, LIVEZ], b"200 503"),
        ([GET + b"nonsense\r\n\r\n"], b"503 400"),
        ([POST_HEAD, b"{   ", b"    }", LAST_GET], b"503 503"),
        ([POST_HEAD + b"{       }" + LAST_GET], b"503 503"),
        # Kept alive as all others are, for a second, and then closed: no connection is forgotten.
        ([GET], b"503"),
        ([POST_HEAD, b"{       }"], b"503"),
        # uvicorn keeps no connection of HTTP/1.0 alive.
        ([b"GET /tasks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"], b"503"),
    ],
)
def test_answers_come_in_order_and_connections_end(full: Service, pieces: list[bytes], expected: bytes) -> None:
    assert b" ".join(statuses(full, *pieces)) == expected
    assert "Traceback" not in full.log


def test_who_sends_again_at_once_is_not_refused_as_fast_as_it_can_send(full: Service) -> None:
    """Otherwise refusals take the time of those requests that have room."""
    refusals = 50
    with connected(full.port) as connection:
        began = time.monotonic()
        for _ in range(refusals):
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 503 ")
        took_s = time.monotonic() - began

    # A timer counts from the start of the turn of the loop in which it is set.
    assert took_s > refusals * HOLD_EACH_S * 0.7


def test_nothing_is_said_behind_the_last_answer_of_a_service_that_ends(full: Service) -> None:
    with connected(full.port) as early:
        early.sendall(LIVEZ)
        early.recv(65536)
        full.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while "draining" not in full.log:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        early.sendall(GET + GET + LIVEZ)
        received = everything(early)

    assert received.count(b"HTTP/1.1 503 ") == received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received
    full.process.wait(timeout=20)
    assert "Traceback" not in full.log
    assert "Fatal error" not in full.log
