"""Traces: a span for each request and one for each statement, sent over OTLP/HTTP where OpenTelemetry's variables say.

The front door makes the spans, since the requests that it serves directly never reach FastAPI, whose own tracing
would tell paths and query strings besides (docs/adr/0016). Names and attributes follow OpenTelemetry's semantic
conventions for HTTP servers and databases, without those that say what a client sent or who it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from random import getrandbits
from typing import Any, TypeVar
from urllib.parse import urlsplit

from taskmanager import __version__
from taskmanager.observability.fault import sqlstate_of, type_name
from taskmanager.observability.logs import trace_fields
from taskmanager.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_INSTALL = 'pip install "taskmanager-api[traces]"'
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

# How long an end may take for what is still to be sent.
FLUSH_S = 1.0

Answer = TypeVar("Answer")

# Whether the request that this task serves is recorded. OpenTelemetry knows it too, and takes six times as long to say
# so, at each statement of each request.
_recorded: ContextVar[bool] = ContextVar("recorded", default=False)


def start(settings: Settings, operations: Mapping[str, str]) -> Traces | None:
    """Traces, or None where no endpoint is set.

    Parameters
    ----------
    operations: name to SQL of every statement. A name becomes a span's, the SQL is never told.

    Raises
    ------
    SettingsError: a variable of OpenTelemetry's cannot be used, or its library is not installed.
    """
    if not _wanted():
        return None
    _refuse_what_cannot_be_used()
    return Traces(settings, operations)


def _wanted() -> bool:
    return (
        any(os.environ.get(name) for name in _ENDPOINTS)
        and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    )


def _refuse_what_cannot_be_used() -> None:
    faults = []
    name = next(name for name in _ENDPOINTS if os.environ.get(name))
    if not _is_http(os.environ[name]):
        faults.append(f"{name}: this is no address of a collector; give one like http://HOST:4318")
    if (exporter := os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()) not in {"", "otlp"}:
        faults.append(f"OTEL_TRACES_EXPORTER: {exporter} is not there; set otlp or none")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if os.environ.get(name, "http/protobuf") not in {"", "http/protobuf"}:
            faults.append(f"{name}: only http/protobuf is spoken; set that, and the collector's port for it (4318)")
    faults += _sampler_faults()
    if not faults and not _installed():
        faults.append(f"{name}: traces need a library that is not installed: {_INSTALL}")
    if faults:
        raise SettingsError("\n".join(faults))


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _sampler_faults() -> list[str]:
    """OpenTelemetry's library would take every request instead, after one line in the log."""
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    kind = sampler.removeprefix("parentbased_")
    if sampler and kind not in _SAMPLERS:
        known = ", ".join((*_SAMPLERS, *(f"parentbased_{name}" for name in _SAMPLERS)))
        return [f"OTEL_TRACES_SAMPLER: there is no such sampler; there are {known}"]
    ratio = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "")
    if kind == "traceidratio" and ratio:
        try:
            usable = 0 <= float(ratio) <= 1
        except ValueError:
            usable = False
        if not usable:
            return ["OTEL_TRACES_SAMPLER_ARG: give the part of all requests as a number from 0 to 1: 0.1"]
    return []


def _ratio_of_new_traces() -> float:
    """Which part of the traces that begin here is sampled, from 0 to 1; the variables were looked at."""
    kind = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    if kind == "traceidratio":
        return float(os.environ.get("OTEL_TRACES_SAMPLER_ARG") or 1)
    return 0.0 if kind == "always_off" else 1.0


def _installed() -> bool:
    try:
        return all(find_spec(name) for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False


def _promising(generator: type[Any]) -> Any:
    """A generator of OpenTelemetry's that keeps a promise: a trace was found to be sampled by its number, and the next
    one gets that number."""

    class Promising(generator):  # type: ignore[misc]  # a class of a library that is imported only where it is used
        promised = 0

        def generate_trace_id(self) -> int:
            promised, self.promised = self.promised, 0
            return promised or super().generate_trace_id()

    return Promising()


class RequestSpan:
    """The span of a request that is being served; current in its task until it ends."""

    __slots__ = ("fields", "span", "token")

    def __init__(self, span: Any, token: Any, fields: Mapping[str, str]) -> None:
        self.span = span
        self.token = token
        self.fields = fields


class Traces:
    """Makes spans. A provider of its own, so that no other library's spans go with them.

    Parameters
    ----------
    settings, operations: see `start`.
    """

    def __init__(self, settings: Settings, operations: Mapping[str, str]) -> None:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import export, id_generator, sampling
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create(
            {
                "service.name": "taskmanager",
                "service.version": __version__,
                "deployment.environment.name": settings.env.value,
            }
        )
        self._ids = _promising(id_generator.RandomIdGenerator)
        self._provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=self._ids)
        ratio = sampling.TraceIdRatioBased(_ratio_of_new_traces())
        self._low_bits, self._sampled_below = ratio.TRACE_ID_LIMIT, ratio.bound
        # A thread of its own sends them, from a queue of 2,048; those beyond are lost.
        self._provider.add_span_processor(export.BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("taskmanager", __version__, schema_url=_SCHEMA_URL)
        self._extract = TraceContextTextMapPropagator().extract
        self._no_parent = context.Context()
        self._attach, self._detach = context.attach, context.detach
        self._with_span = trace.set_span_in_context
        self._server, self._client = trace.SpanKind.SERVER, trace.SpanKind.CLIENT
        self._error = trace.Status(trace.StatusCode.ERROR)
        self._operations = {sql: name for name, sql in operations.items()}

    def takes(self, traceparent: bytes | None) -> bool:
        """Is a span to be made of the request that comes with this header? If so, `begin` must follow.

        Asked before anything is made: a span that is not recorded, its context and its numbers in the log would take a
        third of a request's time, and lead nobody anywhere. A trace of the caller's goes on, sampled or not, so that
        the log names it. Of a new one the library's own sampler says as much by the trace's number, in a microsecond.
        """
        if traceparent is not None:
            return True
        number = getrandbits(128)
        if number & self._low_bits >= self._sampled_below:
            return False
        self._ids.promised = number
        return True

    def begin(
        self, method: str, route: str | None, scheme: str, request_id: str, traceparent: bytes | None
    ) -> RequestSpan:
        """Begin a request's span and make it the current one.

        Parameters
        ----------
        method: one of a bounded set; `_OTHER` for all others.
        route: the path with its parameter's name in it, None where there is none.
        traceparent: the caller's header of W3C's Trace Context. What else that defines, tracestate and baggage, is
            left out: callers put there what they like.
        """
        parent = self._extract({"traceparent": traceparent.decode("latin-1")}) if traceparent else self._no_parent
        shown = "HTTP" if method == "_OTHER" else method
        attributes = {"http.request.method": method, "url.scheme": scheme, "taskmanager.request_id": request_id}
        if route is not None:
            attributes["http.route"] = route
        name = shown if route is None else f"{shown} {route}"
        span = self._tracer.start_span(name, context=parent, kind=self._server, attributes=attributes)
        token = self._attach(self._with_span(span))
        _recorded.set(span.is_recording())
        return RequestSpan(span, token, trace_fields())

    def end(self, request: RequestSpan, status: int | None, error: BaseException | None) -> None:
        """End a request's span.

        Parameters
        ----------
        status: of the answer; None where the server has answered in the application's place.
        error: what was raised while it was served.
        """
        span = request.span
        if status is not None:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", type_name(error) if error is not None else str(status))
                span.set_status(self._error)
        span.end()
        self._detach(request.token)
        _recorded.set(False)

    def statement(self, sql: str, work: Coroutine[Any, Any, Answer]) -> Coroutine[Any, Any, Answer]:
        """A statement within a span of its own, which has its name and nothing that it was given; the bare statement
        where its request is not recorded."""
        return self._statement(sql, work) if _recorded.get() else work

    async def _statement(self, sql: str, work: Coroutine[Any, Any, Answer]) -> Answer:
        name = self._operations.get(sql, "other")
        attributes = {"db.system.name": "postgresql", "db.query.summary": name}
        span = self._tracer.start_span(name, kind=self._client, attributes=attributes)
        try:
            return await work
        except BaseException as error:
            span.set_attribute("error.type", type_name(error))
            cause = error.__cause__ or error
            if (sqlstate := sqlstate_of(cause)) is not None:
                span.set_attribute("db.response.status_code", sqlstate)
            span.set_status(self._error)
            raise
        finally:
            span.end()

    def shutdown(self, timeout_s: float = FLUSH_S) -> None:
        """Send what is left, so long at most. Blocks."""
        # The library waits for a silent collector half a minute, and does not take a shorter time.
        thread = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            logger.warning("the last spans could not be sent within %.0f s", timeout_s)
