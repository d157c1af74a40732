"""The request's line is like every other logger's, though it is put together elsewhere."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, use_span

from taskmanager.observability import logs
from taskmanager.observability.logs import REQUEST_ID
from taskmanager.observability.request_log import WRITE_EVERY_S, RequestLog, logger

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C

ARGUMENTS = ("0123456789abcdef", "GET", "/tasks/{id}", 200, 0.0123456)


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
    request_id, method, _, status, duration_s = ARGUMENTS
    with current_span() if traced else nullcontext():
        trace = logs.trace_fields() if traced else None
        direct = RequestLog(stream, "production")
        direct.write(request_id, method, route, status, duration_s, trace=trace)
        direct.flush()
        RequestLog(None).write(request_id, method, route, status, duration_s)

    ours, common = lines(stream)
    assert ours["deployment.environment.name"] == "production"
    assert ours.get("trace_id") == (f"{TRACE_ID:032x}" if traced else None)
    assert ours.keys() == common.keys()
    for field in ours.keys() - {"timestamp"}:
        assert ours[field] == common[field], field
    assert len(ours["timestamp"]) == len(common["timestamp"])
    assert ours["timestamp"][:16] == common["timestamp"][:16] or ours["timestamp"] < common["timestamp"]


async def test_lines_are_written_together_and_in_order(stream: io.StringIO) -> None:
    log = RequestLog(stream)
    for number in range(3):
        log.write(f"request-{number}", *ARGUMENTS[1:])
    assert stream.getvalue() == ""

    await asyncio.sleep(5 * WRITE_EVERY_S)

    assert [line["request_id"] for line in lines(stream)] == ["request-0", "request-1", "request-2"]


async def test_a_level_above_info_writes_no_request(stream: io.StringIO) -> None:
    logs.configure(as_json=True, level="warning", stream=stream)
    try:
        log = RequestLog(stream)
        log.write(*ARGUMENTS)
        log.flush()
        RequestLog(None).write(*ARGUMENTS)
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
