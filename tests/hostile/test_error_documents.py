"""One request for every code that this service can answer with, and its document judged member by member."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.databases import Database
from tests.hostile.conftest import Target
from tests.hostile.problem_schema import gate_problem_in, problem_in
from tests.hostile.wire import Answer, answers_in, converse, post, request
from tests.processes import ROOT, Service, run
from tests.taskmanager.postgres_proxy import PostgresProxy

Serve = Callable[..., Service]

BODY = b'{"title":"t"}'
KEY = b'Idempotency-Key: "k"\r\n'

OF_A_REQUEST = {
    "malformed_http": (b"GET\r\n\r\n", 400),
    "malformed_json": (post(b"{"), 400),
    "malformed_header": (post(BODY, b"Idempotency-Key: \xe9\r\n"), 400),
    "repeated_header": (post(BODY, b"Host: y\r\n"), 400),
    "not_found": (request(b"GET", b"/nowhere"), 404),
    "method_not_allowed": (request(b"DELETE", b"/tasks"), 405),
    "content_too_large": (post(b" " * 70_000), 413),
    "unsupported_media_type": (request(b"POST", b"/tasks", b"Content-Length: 2\r\n", body=b"{}"), 415),
    "invalid_request": (post(b'{"title":""}'), 422),
    "combination_not_served": (request(b"GET", b"/tasks?sort=due_at&priority=low"), 422),
    "not_implemented": (request(b"POST", b"/tasks", b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n"), 501),
    "http_version_not_supported": (request(b"GET", b"/tasks", version=b"HTTP/2.0"), 505),
    "head_too_large": (request(b"GET", b"/", b"X: " + b"x" * 300_000 + b"\r\n"), 431),
}


def ask(service: Service, data: bytes) -> Answer:
    (answer,) = answers_in(converse(service.port, data))
    return answer


@pytest.mark.parametrize("code", OF_A_REQUEST)
def test_of_a_request_that_is_at_fault_by_itself(target: Target, code: str) -> None:
    data, status = OF_A_REQUEST[code]

    problem_in(target.ask(data), status, code=code)


def test_of_a_request_that_comes_at_the_wrong_time(target: Target) -> None:
    created = target.ask(post(BODY, KEY))
    path = str(created.header("location")).encode()

    other = target.ask(post(b'{"title":"other"}', KEY))
    outdated = target.ask(post(b"{}", b'If-Match: "99"\r\n', target=path, method=b"PATCH"))
    target.ask(request(b"DELETE", path))
    deleted = target.ask(post(BODY, KEY))

    problem_in(other, 422, code="idempotency_key_reused")
    problem_in(outdated, 412, code="precondition_failed")
    problem_in(deleted, 409, code="idempotent_task_deleted")
    problem_in(target.ask(request(b"GET", path)), 404, code="not_found")


def test_of_a_caller_who_may_not(migrated_database: Database, serve: Serve) -> None:
    made = json.loads(run(sys.executable, "-m", "taskmanager", "keys", "new", "--scope", "tasks:read", "--json").stdout)
    service = serve(
        migrated_database,
        TASKMANAGER_AUTH="api_key",
        TASKMANAGER_KEYS=made["line"],
        TASKMANAGER_CORS_ORIGINS="https://app.example.com",
    )
    service.wait_for("/readyz", 200)
    reader = f"Authorization: Bearer {made['key']}\r\n".encode()
    wrong = f"Authorization: Bearer {made['key'][:-1]}{'-' if made['key'][-1] != '-' else '_'}\r\n".encode()
    preflight = b"Origin: https://other.example\r\nAccess-Control-Request-Method: POST\r\n"

    problem_in(ask(service, request(b"GET", b"/tasks")), 401, code="unauthenticated")
    problem_in(ask(service, request(b"GET", b"/tasks", wrong)), 401, code="invalid_key")
    problem_in(ask(service, post(BODY, reader)), 403, code="insufficient_scope")
    refused = ask(service, request(b"OPTIONS", b"/tasks", preflight))
    assert (refused.status, json.loads(refused.body)["code"]) == (403, "origin_not_allowed")


def test_of_a_service_that_cannot_now(migrated_database: Database, empty_database: Database, serve: Serve) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database)
        service.wait_for("/tasks", 200)
        proxy.cut()
        problem_in(ask(service, request(b"GET", b"/tasks")), 503, code="database_unavailable")

    unmigrated = serve(empty_database)
    unmigrated.wait_for("/tasks", 503)
    gate_problem_in(ask(unmigrated, request(b"GET", b"/tasks")))

    busy = serve(migrated_database, TASKMANAGER_MAX_IN_FLIGHT="1")
    busy.wait_for("/tasks", 200)
    with psycopg.connect(migrated_database.migrator_url) as other:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        waiting = run_in_background(busy, request(b"GET", b"/tasks"))
        time.sleep(0.3)
        problem_in(ask(busy, request(b"GET", b"/tasks")), 503, code="overloaded")
        other.rollback()
        assert waiting().status == 200


def test_of_a_fault_of_the_service_itself(empty_database: Database, serve: Serve) -> None:
    service = serve(empty_database, TASKMANAGER_SCHEMA_GATE="off")
    service.wait_for("/health", 200)

    for data in (request(b"GET", b"/tasks"), post(BODY), request(b"DELETE", b"/tasks/1")):
        problem = problem_in(ask(service, data), 500, code="internal_error")
        assert "tasks" not in problem["detail"]


def test_of_a_request_that_does_not_come_to_its_end(migrated_database: Database, serve: Serve) -> None:
    hurried = serve(migrated_database, command=(sys.executable, "-m", "tests.taskmanager.hurried_service", "{port}"))
    hurried.wait_for("/tasks", 200)

    for data in (b"GET /tasks HT", post(BODY)[:-1], post(b"").replace(b"Length: 0", b"Length: 9223372036854775807")):
        problem_in(ask(hurried, data), 408, 413)


def test_no_code_is_left_out() -> None:
    """What is written as a code in the product stands in this module, or is of the schema gate or of a fault."""
    here = (ROOT / "tests" / "hostile" / "test_error_documents.py").read_text()
    found: set[str] = set()
    for file in (ROOT / "taskmanager").rglob("*.py"):
        text = file.read_text()
        found |= {*re.findall(r'^ +code = "([a-z_]+)"', text, re.MULTILINE)}
        found |= {*re.findall(r'_problem\(scope, \d+, "([a-z_]+)"', text)}
        found |= {*re.findall(r'Refusal\(\d+, "([a-z_]+)"', text)}
    of_a_fault = {"damaged_cursor", "cursor_of_another_list"}
    rare = {"query_too_broad"}  # see tests/taskmanager/test_lists.py

    assert len(found) > 12
    assert {code for code in found - of_a_fault - rare if code not in here} == set()


def run_in_background(service: Service, data: bytes) -> Callable[[], Answer]:
    executor = ThreadPoolExecutor(1)
    future = executor.submit(ask, service, data)

    def result() -> Answer:
        executor.shutdown()
        return future.result(timeout=20)

    return result
