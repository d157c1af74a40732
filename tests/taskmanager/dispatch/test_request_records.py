"""What there is to tell of requests is told together, and a scrape misses none of it."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from taskmanager.dispatch.request_records import TELL_EVERY_S, RequestRecords
from taskmanager.dispatch.route_table import PathEntry
from taskmanager.observability.request_log import RequestLog
from taskmanager.observability.request_metrics import RequestMetrics


@pytest.fixture(autouse=True)
def _requests_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "taskmanager.requests")


def counted(metrics: RequestMetrics) -> dict[tuple[str, ...], float]:
    requests = next(iter(metrics.collect()))
    return {tuple(sample.labels.values()): sample.value for sample in requests.samples}


def logged(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["request_id"] for line in stream.getvalue().splitlines()]


async def test_requests_are_told_a_moment_later_together_and_in_order() -> None:
    stream, metrics = io.StringIO(), RequestMetrics()
    records = RequestRecords(metrics, RequestLog(stream))
    for number in range(3):
        records.take(f"request-{number}", "GET", None, 404, 0.001, b"12", 20)
    assert (logged(stream), counted(metrics)) == ([], {})

    await asyncio.sleep(5 * TELL_EVERY_S)

    assert logged(stream) == ["request-0", "request-1", "request-2"]
    assert counted(metrics) == {("GET", "404", "none"): 3}


async def test_what_was_told_is_not_told_again() -> None:
    stream, metrics = io.StringIO(), RequestMetrics()
    records = RequestRecords(metrics, RequestLog(stream))
    records.take("request-0", "GET", None, 404)
    records.tell()
    records.take("request-1", "GET", None, 404)

    await asyncio.sleep(5 * TELL_EVERY_S)

    assert logged(stream) == ["request-0", "request-1"]
    assert counted(metrics) == {("GET", "404", "none"): 2}


async def test_the_route_and_a_bounded_method_are_told_and_what_is_quiet_is_not() -> None:
    stream, metrics = io.StringIO(), RequestMetrics()
    records = RequestRecords(metrics, RequestLog(stream))
    entry = PathEntry("/tasks/{id}")
    records.take("request-0", "BREW", entry, 405)
    records.take("request-1", "GET", entry, 200, quiet=True)
    records.tell()

    assert logged(stream) == ["request-0"]
    assert counted(metrics) == {("_OTHER", "405", "/tasks/{id}"): 1}


async def test_people_read_each_line_at_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = RequestMetrics()
    records = RequestRecords(metrics, RequestLog(None))

    records.take("request-0", "GET", None, 404)

    assert [record.getMessage() for record in caplog.records] == ["request"]
    assert counted(metrics) == {("GET", "404", "none"): 1}


async def test_a_probe_is_logged_at_once_for_those_who_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Later it would bear the request id and the trace of another."""
    stream = io.StringIO()
    records = RequestRecords(RequestMetrics(), RequestLog(stream))
    records.take("request-0", "GET", None, 404)
    with caplog.at_level("DEBUG", "taskmanager.requests"):
        records.take("request-1", "GET", PathEntry("/livez"), 200, quiet=True)

    assert [record.__dict__["request_id"] for record in caplog.records] == ["request-1"]
    assert logged(stream) == []
