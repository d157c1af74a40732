"""Spans of a served process, as a collector gets them: one a request, one a statement, nothing of who asked what."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from taskmanager import __version__
from taskmanager.tasks.statements import STATEMENTS
from tests import plain_http
from tests.databases import Database
from tests.processes import Service, free_port
from tests.taskmanager.observability.capture import Capture, capture_server
from tests.taskmanager.observability.conftest import FAULTY_SERVICE
from tests.taskmanager.served_logs import json_lines, requests_of

Serve = Callable[..., Service]

CANARY = "canary4711"
EMAIL = "somebody@canary4711.example"
CLIENT = "203.0.113.77"
TASK = {"title": CANARY, "description": EMAIL}
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Capture]:
    with capture_server() as capture:
        yield capture


@pytest.fixture
def traced(serve: Serve, migrated_database: Database, collector: Capture) -> Service:
    return served(serve, migrated_database, collector)


def served(serve: Serve, database: Database, collector: Capture, **variables: str) -> Service:
    service = serve(
        database,
        command=FAULTY_SERVICE,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
        OTEL_BSP_SCHEDULE_DELAY="100",
        TASKMANAGER_LOG_FORMAT="json",
        **variables,
    )
    service.wait_for("/readyz", 200)
    return service


def spans(collector: Capture) -> list[Span]:
    found: list[Span] = []
    for body in collector.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            found.extend(span for scope in resource.scope_spans for span in scope.spans)
    return found


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def test_a_request_is_one_span_with_its_statement_below_it(traced: Service, collector: Capture) -> None:
    created = traced.request("POST", "/tasks", json=TASK)
    traced.request("GET", created.headers["location"], headers={"X-Request-Id": "the-request"})
    traced.get("/metrics")
    traced.stop()

    names = sorted(span.name for span in spans(collector))
    assert names == ["GET /tasks/{id}", "POST /tasks", "create_task", "get_task"]
    by_name = {span.name: span for span in spans(collector)}
    request, statement = by_name["GET /tasks/{id}"], by_name["get_task"]
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.route": "/tasks/{id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "taskmanager.request_id": "the-request",
    }
    assert request.kind == Span.SPAN_KIND_SERVER
    assert request.parent_span_id == b""
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert attributes(statement) == {"db.system.name": "postgresql", "db.query.summary": "get_task"}
    assert "get_task" in STATEMENTS
    assert statement.kind == Span.SPAN_KIND_CLIENT
    assert (statement.trace_id, statement.parent_span_id) == (request.trace_id, request.span_id)
    assert request.start_time_unix_nano <= statement.start_time_unix_nano
    assert statement.end_time_unix_nano <= request.end_time_unix_nano

    (resource,) = {
        json.dumps(attributes(each.resource), sort_keys=True)
        for body in collector.bodies
        for each in ExportTraceServiceRequest.FromString(body).resource_spans
    }
    told = json.loads(resource)
    assert told["service.name"] == "taskmanager"
    assert told["service.version"] == __version__
    assert told["deployment.environment.name"] == "development"


def test_a_request_that_goes_through_fastapi_is_one_span_too(traced: Service, collector: Capture) -> None:
    assert traced.request("PUT", "/faulty-in-fastapi/1", json=TASK).status_code == 500
    assert traced.request("PUT", "/faulty/1", json=TASK).status_code == 500
    assert traced.get("/tasks?limit=none").status_code == 422
    assert traced.get("/nowhere").status_code == 404
    traced.stop()

    found = {span.name: span for span in spans(collector)}
    assert len(spans(collector)) == len(found) == 4
    through, directly = found["PUT /faulty-in-fastapi/{id}"], found["PUT /faulty/{id}"]
    for failed in (through, directly):
        assert failed.status.code == Status.STATUS_CODE_ERROR
        assert failed.status.message == ""
        assert attributes(failed)["http.response.status_code"] == 500
        assert attributes(failed)["error.type"] == "builtins.KeyError"
        assert not failed.events
    assert found["GET /tasks"].status.code == Status.STATUS_CODE_UNSET
    assert "http.route" not in attributes(found["GET"])


def test_what_belongs_to_a_trace_of_the_callers_goes_on_in_it_and_in_the_log(
    traced: Service, collector: Capture
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "the-request"}
    traced.request("PUT", "/faulty/1", json=TASK, headers=headers)
    lines = requests_of(traced, "the-request")
    traced.stop()

    (span,) = spans(collector)
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert {line["event"] for line in lines} == {"request", "unhandled error"}
    for line in lines:
        assert (line["trace_id"], line["span_id"], line["trace_flags"]) == (TRACE, span.span_id.hex(), "01")
    others = [line for line in json_lines(traced) if line.get("request_id") is None]
    assert others
    assert not any("trace_id" in line for line in others)


def test_a_caller_that_samples_nothing_is_heeded(traced: Service, collector: Capture) -> None:
    traced.request("GET", "/tasks", headers={"traceparent": f"00-{TRACE}-{PARENT}-00", "X-Request-Id": "the-request"})
    (line,) = [line for line in requests_of(traced, "the-request") if line["event"] == "request"]
    traced.stop()

    assert spans(collector) == []
    assert (line["trace_id"], line["trace_flags"]) == (TRACE, "00")


def test_the_sampler_is_that_of_the_environment(serve: Serve, migrated_database: Database, collector: Capture) -> None:
    service = served(
        serve, migrated_database, collector, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0"
    )
    for _ in range(5):
        service.get("/tasks")
    service.request("GET", "/tasks", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    service.stop()

    assert {span.trace_id.hex() for span in spans(collector)} == {TRACE}


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_a_part_of_all_requests_is_sampled_with_their_statements(
    sampler: str, serve: Serve, migrated_database: Database, collector: Capture
) -> None:
    service = served(serve, migrated_database, collector, OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG="0.5")
    with plain_http.Client(base_url=service.url) as client:
        for _ in range(200):
            client.get("/tasks")
    service.stop()

    lines = [line for line in json_lines(service) if line["event"] == "request"]
    requests = {span.trace_id: span.span_id for span in spans(collector) if span.name == "GET /tasks"}
    statements = {span.trace_id: span.parent_span_id for span in spans(collector) if span.name != "GET /tasks"}
    # Of 200 tosses of a coin; beyond these bounds once in ten million runs.
    assert 62 <= len(requests) <= 138
    assert statements == requests
    assert {line["trace_id"] for line in lines if "trace_id" in line} == {trace.hex() for trace in requests}
    assert len(lines) == 200


def test_each_of_the_requests_that_share_a_statement_has_its_own_span(traced: Service, collector: Capture) -> None:
    traced.request("POST", "/tasks", json=TASK)
    with ThreadPoolExecutor(12) as threads:
        assert {answer.status_code for answer in threads.map(lambda _: traced.get("/tasks/1"), range(60))} == {200}
    traced.stop()

    requests = [span for span in spans(collector) if span.name == "GET /tasks/{id}"]
    statements = [span for span in spans(collector) if span.name == "get_task"]
    assert len(requests) == len(statements) == 60
    assert {span.span_id for span in requests} == {span.parent_span_id for span in statements}


def test_a_statement_that_fails_is_told_by_its_code(
    traced: Service, migrated_database: Database, collector: Capture
) -> None:
    assert traced.get("/tasks").status_code == 200
    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN title TO label")
    traced.wait_for("/tasks", 503)
    traced.stop()

    failed = [span for span in spans(collector) if span.status.code == Status.STATUS_CODE_ERROR]
    statement = next(span for span in failed if span.kind == Span.SPAN_KIND_CLIENT)
    assert attributes(statement)["db.response.status_code"] == "42703"
    assert attributes(statement)["error.type"] == "asyncpg.exceptions.UndefinedColumnError"
    request = next(span for span in failed if span.span_id == statement.parent_span_id)
    assert attributes(request)["http.response.status_code"] == 503


def test_nothing_that_a_client_sends_is_in_a_span(traced: Service, collector: Capture) -> None:
    headers = {
        "Authorization": f"Bearer {CANARY}",
        "Cookie": CANARY,
        "User-Agent": CANARY,
        "X-Forwarded-For": CLIENT,
        "Host": f"{CANARY}.example",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "tracestate": f"vendor={CANARY}",
        "baggage": f"user={CANARY}",
    }
    traced.request("POST", "/tasks", json=TASK, headers=headers)
    for path in (f"/{CANARY}", f"/tasks?tag={CANARY}", f"/tasks/{CANARY}", f"/tasks?{CANARY}={EMAIL}", "/faulty/1"):
        traced.request("GET", path, headers=headers)
        traced.request("PUT", path, headers=headers, json=TASK)
    traced.request(CANARY.upper(), "/tasks", headers=headers)
    traced.stop()

    assert len(spans(collector)) > 11
    for told in (CANARY, EMAIL, CLIENT, "127.0.0.1", socket.gethostname()):
        assert told.lower() not in collector.everything.lower(), told


@pytest.mark.parametrize("silent", [False, True], ids=["nothing listens", "it takes and never answers"])
def test_a_collector_that_is_gone_is_no_matter_to_anybody(
    serve: Serve, migrated_database: Database, silent: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1] if silent else free_port()
        service = served(serve, migrated_database, Capture(port))
        for _ in range(20):
            assert service.get("/tasks").status_code == 200
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 8
