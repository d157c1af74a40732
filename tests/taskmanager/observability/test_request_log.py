"""The request's line is like every other logger's, though it is put together elsewhere."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, use_span

from taskmanager.observability import logs
from taskmanager.observability.logs import REQUEST_ID
from taskmanager.observability.request_log import Request, RequestLog, logger

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


def request(number: int = 0, route: str | None = "/tasks/{id}", trace: Mapping[str, str] | None = None) -> Request:
    return (time.time(), f"request-{number}", "GET", route, 200, 0.0123456, trace)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure(as_json=True, level="info", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level


def current_span() -> AbstractContextManager[Span]:
    context = SpanContext(TRACE_ID, 0xB7AD6B7169203331, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return use_span(NonRecordingSpan(context))


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
@pytest.mark.parametrize("route", ["/tasks/{id}", None])
async def test_a_line_has_the_fields_of_the_common_pipe(stream: io.StringIO, route: str | None, traced: bool) -> None:
    logs.configure(as_json=True, level="info", stream=stream, environment="production", traced=traced)
    with current_span() if traced else nullcontext():
        trace = logs.trace_fields() if traced else None
        RequestLog(stream, "production").write([request(route=route, trace=trace)])
        RequestLog(None).write([request(route=route)])

    ours, common = lines(stream)
    assert ours["deployment.environment.name"] == "production"
    assert ours.get("trace_id") == (f"{TRACE_ID:032x}" if traced else None)
    assert ours.keys() == common.keys()
    for field in ours.keys() - {"timestamp"}:
        assert ours[field] == common[field], field
    assert len(ours["timestamp"]) == len(common["timestamp"])
    assert ours["timestamp"][:16] == common["timestamp"][:16] or ours["timestamp"] < common["timestamp"]


def test_lines_are_written_in_order(stream: io.StringIO) -> None:
    RequestLog(stream).write([request(number) for number in range(3)])

    assert [line["request_id"] for line in lines(stream)] == ["request-0", "request-1", "request-2"]


async def test_a_level_above_info_writes_no_request(stream: io.StringIO) -> None:
    logs.configure(as_json=True, level="warning", stream=stream)
    try:
        RequestLog(stream).write([request()])
        RequestLog(None).write([request()])
        assert stream.getvalue() == ""
    finally:
        logger.setLevel(logging.NOTSET)


async def test_a_line_of_the_common_pipe_bears_the_id_of_its_request(stream: io.StringIO) -> None:
    async def serve(request_id: str) -> None:
        REQUEST_ID.set(request_id)
        await asyncio.sleep(0)
        logging.getLogger("taskmanager.anything").info("within")

    await asyncio.gather(*(asyncio.create_task(serve(f"request-{number}")) for number in range(3)))
    logging.getLogger("taskmanager.anything").info("outside")

    assert [line.get("request_id") for line in lines(stream)] == ["request-0", "request-1", "request-2", None]
    assert sys.stdout is not stream
