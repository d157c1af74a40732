"""One pipe for every log line: ours, uvicorn's, Alembic's and the migration gate's.

In production a line is one JSON object; in a terminal it is readable and coloured. An exception is told by
its type, its place and, for PostgreSQL's errors, its primary message: other messages may quote what a
client sent. `privacy` says what may be told, here as for Sentry.
"""

from __future__ import annotations

import io
import logging
import traceback
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from taskmanager import __version__
from taskmanager.observability.privacy import scrubbed, scrubbed_of_others, told, without_addresses

__all__ = ["REQUEST_ID", "configure", "told"]

# Attributes of every log record; the rest came with `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}

# Of the request that is being served, for every line that is written meanwhile.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# Whose words are written with care. All others may quote what a client sent, or who it is.
_OWN_LOGGERS = ("taskmanager", "migration_gate", "alembic")


def configure(
    *, as_json: bool, level: str, stream: TextIO, environment: str = "development", traced: bool = False
) -> None:
    """Send every logger of this process through the one pipe.

    Parameters
    ----------
    as_json: one JSON object a line, otherwise text for people, coloured where `stream` is a terminal.
    level: the least severe level that is written.
    stream: standard output for a service; standard error for a command, whose output is its answer.
    environment: what `deployment.environment.name` says.
    traced: whether requests are, so that lines name the trace that they belong to.
    """
    render: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    if isinstance(stream, io.TextIOWrapper):
        # A line that holds what UTF-8 cannot must not be lost.
        stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                _add_request_id,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _add_extra,
                _scrub_event,
                _describe_exception,
                *([_add_trace] if traced else []),
                _service_adder(environment) if as_json else _lay_out_exception,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # uvicorn gives its loggers handlers of their own before it imports the application.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.disabled = False
    # It names its plugins, one by one, whenever the schema is compared.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    # The front door logs each request, with its route instead of its path and address.
    logging.getLogger("uvicorn.access").disabled = True


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    return event


def _add_extra(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
    return event


def _scrub_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    text = str(event["event"])
    own = str(event["logger"]).partition(".")[0] in _OWN_LOGGERS
    # PostgreSQL's words may be part of ours, and name whom it does not admit by address.
    event["event"] = without_addresses(scrubbed(text)) if own else scrubbed_of_others(text)
    return event


def trace_fields() -> dict[str, str]:
    """What names the trace of whoever asks (OpenTelemetry's "Trace Context in non-OTLP Log Formats"); empty where
    there is none."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "trace_flags": f"{context.trace_flags:02x}",
    }


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.update(trace_fields())
    return event


def _service_adder(environment: str) -> Processor:
    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service.name"] = "taskmanager"
        event["service.version"] = __version__
        event["deployment.environment.name"] = environment
        return event

    return add_service


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    information: Any = event.pop("exc_info", None) or event["_record"].exc_info
    if not information or information[1] is None:
        return event
    error: BaseException = information[1]
    event["exception.type"] = f"{type(error).__module__}.{type(error).__qualname__}"
    event["exception.message"] = told(error)
    event["exception.stacktrace"] = "".join(traceback.format_tb(error.__traceback__))
    return event


def _lay_out_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people: the trace over several lines, its cause last, as Python prints it."""
    if "exception.stacktrace" in event:
        stack = event.pop("exception.stacktrace")
        event["exception"] = f"{stack}{event.pop('exception.type')}: {event.pop('exception.message')}"
    return event
