"""Arbitrary bytes to the served process: it answers for what is HTTP, and goes on serving."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.raw_http import exchange, request, status_of

Serve = Callable[..., Service]

many = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What does not end the line, so that the rest of the request stays one.
in_line = st.binary(max_size=40).map(lambda data: bytes(byte for byte in data if byte not in b"\r\n \0"))


@pytest.fixture
def service(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    return service


def judge(answer: bytes) -> None:
    # uvicorn closes without a word where nothing of a request could be made out.
    assert answer == b"" or status_of(answer) < 500, answer


def still_serves(service: Service) -> None:
    assert service.request("POST", "/tasks", json={"title": "still here"}).status_code == 201
    assert "Traceback" not in service.log
    assert "unhandled error" not in service.log


def test_any_bytes_in_a_path_a_query_and_a_header_leave_the_service_serving(service: Service) -> None:
    @many
    @given(in_line, in_line, in_line, in_line)
    def try_it(path: bytes, query: bytes, name: bytes, value: bytes) -> None:
        judge(exchange(service.port, request(b"/" + path)))
        judge(exchange(service.port, request(b"/tasks/" + path + b"?" + query)))
        judge(exchange(service.port, request(b"/tasks?limit=" + query)))
        judge(exchange(service.port, request(b"/tasks", headers=name + b": " + value + b"\r\n")))
        for known in (b"Content-Type", b"Content-Length", b"X-Request-Id", b"Accept", b"Expect", b"Upgrade"):
            headers = known + b": " + value + b"\r\n"
            judge(exchange(service.port, request(b"/tasks", b"POST", headers)))
        judge(exchange(service.port, request(b"/tasks", method=name or b"GET")))

    try_it()
    still_serves(service)


def test_any_bytes_instead_of_a_request_leave_the_service_serving(service: Service) -> None:
    @many
    @given(st.binary(max_size=300))
    def try_it(data: bytes) -> None:
        judge(exchange(service.port, data))

    try_it()
    still_serves(service)


NASTY = [
    request(b"/tasks/%00"),
    request(b"/tasks/%ff%fe"),
    request(b"/tasks/\xff\xfe"),
    request(b"/tasks/%ED%A0%80"),
    request(b"/%2e%2e/%2e%2e/etc/passwd"),
    request(b"//tasks"),
    request(b"http://elsewhere/tasks"),
    request(b"*", method=b"OPTIONS"),
    request(b"/tasks?limit=%00"),
    request(b"/tasks?limit=%ff&limit"),
    request(b"/tasks?&&==&%"),
    request(b"/tasks?limit=" + b"9" * 5000),
    request(b"/tasks/" + b"9" * 5000),
    request(b"/tasks", headers=b"Host: [\r\n"),
    request(b"/nowhere", headers=b"Host: ]:x:[\r\n"),
    request(b"/tasks", b"POST", b"Content-Length: -1\r\n"),
    request(b"/tasks", b"POST", b"Content-Length: 1_0\r\n"),
    request(b"/tasks", b"POST", b"Content-Length: " + b"9" * 5000 + b"\r\n"),
    request(b"/tasks", b"POST", b"Content-Length: 1\r\nContent-Length: 2\r\n", b"{}"),
    request(b"/tasks", b"POST", b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    request(b"/tasks", b"POST", b"Content-Type: \xff\xfe;\x80=\x80\r\nContent-Length: 2\r\n", b"{}"),
    request(b"/tasks", b"POST", b'Content-Type: application/json; charset="\r\nContent-Length: 2\r\n', b"{}"),
    request(b"/tasks", headers=b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"),
    b"GET /tasks HTTP/1.0\r\n\r\n",
    b"GET /tasks HTTP/9.9\r\nConnection: close\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


def test_what_once_broke_somebodys_service_breaks_nothing(service: Service) -> None:
    for sent in NASTY:
        judge(exchange(service.port, sent))
    still_serves(service)
