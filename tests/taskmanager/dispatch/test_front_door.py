"""A request's way in and out: its id, its method, and the faults nobody caught."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.problem_documents import problem_of
from tests.taskmanager.served_logs import json_lines, requests_of

Serve = Callable[..., Service]

MADE = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def service(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    return service


async def test_each_answer_has_a_request_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = [(await client.get(path)).headers["x-request-id"] for path in ("/tasks", "/tasks", "/health", "/nowhere")]

    assert all(MADE.fullmatch(id_) for id_ in ids)
    assert len(set(ids)) == 4


@pytest.mark.parametrize("sent", ["12345678", "a" * 64, "0aZ._-0aZ", "550e8400-e29b-41d4-a716-446655440000"])
async def test_a_usable_request_id_is_kept(client: httpx.AsyncClient, sent: str) -> None:
    response = await client.get("/tasks/1", headers={"X-Request-Id": sent})

    assert response.headers.get_list("x-request-id") == [sent]
    assert problem_of(response, 404)["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "1234567", "a" * 65, "with blank", "a,b,c,d,e", "<script>", "x" * 5000, "é" * 8])
async def test_a_request_id_that_cannot_be_trusted_in_a_log_is_replaced(client: httpx.AsyncClient, sent: str) -> None:
    response = await client.get("/tasks/1", headers=[(b"X-Request-Id", sent.encode())])

    assert MADE.fullmatch(response.headers["x-request-id"])
    assert problem_of(response, 404)["request_id"] == response.headers["x-request-id"]


async def test_of_several_request_ids_the_last_one_counts(client: httpx.AsyncClient) -> None:
    headers = [(b"X-Request-Id", b"the-first"), (b"X-Request-Id", b"the-second")]

    assert (await client.get("/livez", headers=headers)).headers.get_list("x-request-id") == ["the-second"]


def test_the_log_and_the_answer_name_a_request_alike(service: Service) -> None:
    made = service.get("/tasks/1").headers["x-request-id"]
    service.request("GET", "/tasks", headers={"X-Request-Id": "sent-by-a-client"})

    (line,) = requests_of(service, made)
    assert line["http.response.status_code"] == 404
    (line,) = requests_of(service, "sent-by-a-client")
    assert line["http.response.status_code"] == 200


@pytest.mark.parametrize("method", ["PROPFIND", "TRACE", "FOO", "get", "X" * 300])
async def test_a_method_that_is_not_served_is_refused_and_makes_no_label_of_its_own(
    client: httpx.AsyncClient, method: str
) -> None:
    # httpx writes methods in capitals.
    request = client.build_request("GET", "/tasks")
    request.method = method

    response = await client.send(request)

    problem_of(response, 405, "method_not_allowed")
    metrics = (await client.get("/metrics")).text
    assert f'method="{method}"' not in metrics
    assert 'http_requests_total{handler="/tasks",method="_OTHER",status="405"} 1.0' in metrics


@pytest.mark.parametrize("path", ["/", "/tasks", "/tasks/1", "/tasks/x", "/health", "/metrics", "/openapi.json"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_answered(service: Service, method: str, path: str) -> None:
    response = service.request(method, path)

    assert response.status_code < 500
    assert "x-request-id" in response.headers


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_no_traceback(service: Service) -> None:
    head = (
        "POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "X-Request-Id: left-early\r\nContent-Length: 1000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode() + b'{"title":')

    lines = requests_of(service, "left-early")
    assert [line["event"] for line in lines] == ["request"]
    assert 400 <= lines[0]["http.response.status_code"] < 500
    assert "Traceback" not in service.log
    assert not [line for line in json_lines(service) if line["level"] in {"error", "critical"}]
    assert service.get("/tasks").json() == []


def test_a_body_that_is_too_large_is_refused_before_it_was_sent(service: Service) -> None:
    head = "POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


BROKEN_LATE = """
from fastapi.responses import StreamingResponse
from taskmanager.access.api_key_scheme import needs
from taskmanager.app import create_app
from taskmanager.tasks.routes import router

# A stack trace quotes the line that raises, so the value itself must not stand in it.
told_backwards = "1174yranac"


async def pieces():
    yield b"begun"
    raise RuntimeError(told_backwards[::-1])


@router.get("/broken", dependencies=[needs("tasks:read")])
async def broken():
    return StreamingResponse(pieces())


@router.get("/broken-early", dependencies=[needs("tasks:read")])
async def broken_early():
    raise RuntimeError(told_backwards[::-1])


app = create_app()
"""


@pytest.fixture
def broken_service(migrated_database: Database, serve: Serve, tmp_path: Path) -> Service:
    (tmp_path / "broken_entry.py").write_text(BROKEN_LATE)
    command = (sys.executable, "-m", "uvicorn", "broken_entry:app", "--app-dir", str(tmp_path), "--port", "{port}")
    service = serve(migrated_database, command=command, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    return service


def test_an_error_after_the_answer_began_breaks_the_connection_and_is_logged(broken_service: Service) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        broken_service.request("GET", "/broken", headers={"X-Request-Id": "broken-late"})

    (line,) = [line for line in json_lines(broken_service) if line["event"] == "unhandled error"]
    assert line["request_id"] == "broken-late"
    assert line["exception.type"] == "builtins.RuntimeError"
    assert "pieces" in line["exception.stacktrace"]
    assert "canary4711" not in broken_service.log
    assert broken_service.get("/tasks").status_code == 200


def test_an_error_nobody_caught_is_a_problem_and_one_line_of_the_log(broken_service: Service) -> None:
    response = broken_service.request("GET", "/broken-early", headers={"X-Request-Id": "broken-early"})

    problem_of(response, 500, "internal_error")
    lines = requests_of(broken_service, "broken-early")
    assert [line["event"] for line in lines] == ["unhandled error", "request"]
    assert lines[0]["error.type"] == "RuntimeError"
    assert "broken_early" in lines[0]["exception.stacktrace"]
    assert lines[1]["http.response.status_code"] == 500
    assert "canary4711" not in broken_service.log
    assert 'http_requests_total{handler="/broken-early",method="GET",status="500"} 1.0' in (
        broken_service.get("/metrics").text
    )
