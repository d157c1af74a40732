"""What the server does with clients that are slow, broken, or in the way when it has to end."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests import plain_http
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.raw_http import connected, everything, exchange, request, status_of
from tests.taskmanager.served_logs import requests_of

Serve = Callable[..., Service]


@pytest.fixture
def service(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    return service


@pytest.fixture
def hurried(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database, command=(sys.executable, "-m", "tests.taskmanager.hurried_service", "{port}"))
    service.wait_for("/tasks", 200)
    return service


def problem_in(answer: bytes, status: int, code: str) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == status, answer
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    assert b"\r\nconnection: close" in head
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/problems/{code}")
    assert f"\r\nx-request-id: {problem['request_id']}\r\n".encode() in head
    assert b"\r\nx-content-type-options: nosniff\r\n" in head + b"\r\n"
    return problem


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that speaks TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /t\xc3\xa4sks\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_malformed_http_is_answered_with_a_problem_that_the_log_and_the_metrics_know(
    service: Service, data: bytes
) -> None:
    with connected(service.port) as connection:
        connection.sendall(data)
        problem = problem_in(everything(connection), 400, "malformed_http")

    (line,) = requests_of(service, problem["request_id"])
    assert line["http.response.status_code"] == 400
    assert 'http_requests_total{handler="none",method="_OTHER",status="400"} 1.0' in service.get("/metrics").text
    assert "Traceback" not in service.log


@pytest.mark.parametrize("what", ["target", "header", "headers"])
def test_a_head_without_end_is_refused(service: Service, what: str) -> None:
    start = {
        "target": b"GET /tasks?q=" + b"x" * 40_000,
        "header": b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000,
        "headers": b"GET /tasks HTTP/1.1\r\nHost: x\r\n" + b"X-More: x\r\n" * 4000,
    }[what]
    with connected(service.port) as connection:
        connection.sendall(start)
        problem_in(everything(connection), 431, "head_too_large")

    assert service.get("/tasks").status_code == 200


@pytest.mark.parametrize("length", [31_000, 33_000, 60_000, 300_000])
def test_a_head_is_bounded_however_it_arrives(service: Service, length: int) -> None:
    with connected(service.port) as connection:
        connection.sendall(
            b"GET /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: " + b"x" * length + b"\r\n\r\n"
        )
        answer = everything(connection)

    if length < 32 * 1024:
        assert status_of(answer) == 200
    else:
        problem_in(answer, 431, "head_too_large")


def test_a_body_that_comes_with_its_head_is_not_counted_with_it(service: Service) -> None:
    body = json.dumps({"title": "x", "description": "y" * 10_000, "tags": []}).encode() + b" " * 30_000
    with connected(service.port) as connection:
        connection.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        assert status_of(everything(connection)) == 201


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /tasks HT",
        b"GET /tasks HTTP/1.1\r\nHost: x\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
        b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_a_request_that_does_not_arrive_in_time_is_refused(hurried: Service, begun: bytes) -> None:
    with connected(hurried.port) as connection:
        connection.sendall(begun)
        problem_in(everything(connection), 408, "request_timeout")

    assert hurried.get("/tasks").json() == []
    assert "Traceback" not in hurried.log


def test_a_request_that_arrives_byte_by_byte_is_refused_all_the_same(hurried: Service) -> None:
    with connected(hurried.port) as connection:
        for byte in b"GET /tasks HTTP/1.1\r\nHost: x\r\n" * 100:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the server went on listening")


def test_a_connection_on_which_nothing_is_ever_sent_is_closed(hurried: Service) -> None:
    with connected(hurried.port) as connection:
        assert everything(connection) == b""


def test_a_connection_that_rests_after_an_answer_is_closed(hurried: Service) -> None:
    with connected(hurried.port) as connection:
        connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(everything(connection)) == 200


def test_a_client_that_does_not_read_its_answers_is_left(hurried: Service) -> None:
    for _ in range(60):
        hurried.request("POST", "/tasks", json={"title": "x", "description": "y" * 10_000})

    with connected(hurried.port, receive_buffer=4096) as connection:
        left = False
        for _ in range(2000):
            try:
                connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n")
            except OSError:
                left = True
                break
            time.sleep(0.01)

    assert left
    assert hurried.get("/tasks?limit=1").status_code == 200
    assert "Traceback" not in hurried.log


def test_requests_sent_at_once_are_answered_in_order(service: Service) -> None:
    with connected(service.port) as connection:
        connection.sendall(
            b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\nGET /tasks/5 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answers = everything(connection).split(b"HTTP/1.1 ")[1:]

    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200"]


def test_nonsense_behind_requests_does_not_damage_their_answers(service: Service) -> None:
    with connected(service.port) as connection:
        connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"nonsense\r\n\r\n")
        answers = everything(connection).split(b"HTTP/1.1 ")[1:]

    assert [answer[:3] for answer in answers] == [b"200"] * 3
    assert b"connection: close" in answers[-1]
    assert service.get("/tasks").status_code == 200


def test_the_body_of_a_request_that_was_refused_is_not_taken_for_another(hurried: Service) -> None:
    with connected(hurried.port) as connection:
        connection.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nGET /tasks HTTP/1.1\r\n\r\n"
        )
        answers = everything(connection).split(b"HTTP/1.1 ")[1:]

    assert [answer[:3] for answer in answers] == [b"413"]


def test_a_client_that_has_said_all_and_closes_its_side_gets_its_answer(service: Service) -> None:
    assert status_of(exchange(service.port, request(b"/tasks"))) == 200


def test_an_upgrade_that_is_not_offered_is_ignored(service: Service) -> None:
    with connected(service.port) as connection:
        connection.sendall(
            b"GET /tasks HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert status_of(everything(connection)) == 200
    assert "upgrade" not in service.log.lower()


def test_a_client_that_asks_first_is_told_to_continue(service: Service) -> None:
    body = b'{"title":"asked first"}'
    with connected(service.port) as connection:
        connection.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert status_of(everything(connection)) == 201


def test_requests_beyond_what_the_service_works_on_are_refused_at_once(
    migrated_database: Database, serve: Serve
) -> None:
    service = serve(migrated_database, TASKMANAGER_MAX_IN_FLIGHT="4")
    service.wait_for("/tasks", 200)
    with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(12) as clients:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        waiting = [clients.submit(service.get, "/tasks") for _ in range(4)]
        time.sleep(0.3)
        asked_at = time.monotonic()
        refused = [service.get("/tasks") for _ in range(5)]
        took = time.monotonic() - asked_at
        with connected(service.port) as connection:
            for head in (b"HEAD /tasks", b"POST /tasks", b"GET /livez"):
                connection.sendall(
                    head + b" HTTP/1.1\r\nHost: x\r\nX-Request-Id: from-a-client\r\nContent-Length: 9\r\n\r\n"
                )
                connection.sendall(b"{" + b" " * 8)
            connection.sendall(b"GET /nowhere%20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            kept = everything(connection)
        probes = {path: service.get(path).status_code for path in ("/livez", "/readyz", "/health", "/metrics")}
        other.rollback()
        answers = [answer.result() for answer in waiting]

    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
    assert [answer[:3] for answer in kept.split(b"HTTP/1.1 ")[1:]] == [b"503", b"503", b"200", b"503"]
    assert kept.count(b"x-request-id: from-a-client\r\n") == 3
    assert kept.count(b'"code":"overloaded"') == 2, "HEAD has no body"
    assert b'"instance":"/nowhere "' in kept
    assert took < 1, "a refusal does not wait in a queue"
    assert probes == {"/livez": 200, "/readyz": 200, "/health": 200, "/metrics": 200}
    assert [answer.status_code for answer in answers] == [200] * 4
    assert service.get("/tasks").status_code == 200


def test_sigterm_makes_unready_finishes_what_is_in_flight_and_ends_well(
    migrated_database: Database, service: Service
) -> None:
    with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(4) as clients:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        in_flight = clients.submit(service.request, "POST", "/tasks", json={"title": "in flight"})
        time.sleep(0.2)
        service.process.send_signal(signal.SIGTERM)
        unready = service.wait_for("/readyz", 503, within_s=2)
        assert service.get("/livez").status_code == 200
        other.rollback()
        made = in_flight.result()

    assert unready.json()["checks"]["process"]["status"] == "fail"
    assert made.status_code == 201
    assert service.process.wait(timeout=10) == 0
    assert migrated_database.execute("SELECT title FROM tasks") == [("in flight",)]
    assert "Traceback" not in service.log


def test_sigterm_cuts_no_request_of_busy_clients(migrated_database: Database, service: Service) -> None:
    """Clients that keep their connections and send without a pause lose none, and see who ends them."""
    acknowledged: list[int] = []
    faults: list[str] = []
    told = threading.Event()

    def write_until_told_to_leave() -> None:
        with plain_http.Client(base_url=service.url, timeout=10) as client:
            while True:
                try:
                    answer = client.post("/tasks", json={"title": "busy"})
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                    return
                acknowledged.append(answer.json()["id"])
                if answer.headers.get("connection") == "close":
                    told.set()
                    return

    with ThreadPoolExecutor(8) as clients:
        writers = [clients.submit(write_until_told_to_leave) for _ in range(8)]
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        for writer in writers:
            writer.result(timeout=10)

    assert faults == []
    assert told.is_set()
    assert service.process.wait(timeout=10) == 0
    assert {id_ for (id_,) in migrated_database.execute("SELECT id FROM tasks")} == set(acknowledged)


def test_a_second_interrupt_ends_at_once(service: Service) -> None:
    with connected(service.port) as connection:
        connection.sendall(b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        time.sleep(0.2)
        service.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=5) == 0
