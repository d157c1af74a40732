"""Faults go to Sentry, where a DSN is set. The only room that knows Sentry's library, which is imported only then.

An event is written here from nothing (`fault`), and what the library would add of itself is left out: it serves as the
envelope and the postman. Nothing of it is installed anywhere in the process, so that no other library can send through
it either. Events are sent by a thread of its own, from a bounded queue: whether Sentry answers is no matter to any
request.
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from taskmanager import __version__
from taskmanager.observability.fault import exceptions, fingerprint, type_name
from taskmanager.observability.fault_limit import FaultLimit
from taskmanager.observability.logs import REQUEST_ID, trace_fields
from taskmanager.observability.privacy import scrubbed, without_addresses
from taskmanager.settings import Settings

logger = logging.getLogger(__name__)

# How long an end may take for what is still to be sent.
FLUSH_S = 2.0

# Waiting for Sentry to take them; those beyond are lost, and counted.
_QUEUE = 50

_TELL_LOSSES_EVERY_S = 60.0

# An exception that several log or raise again is one fault.
_REPORTED = "_taskmanager_reported"

Heads = Callable[[], Mapping[str, str]]


class Reporter:
    """Reports faults.

    Parameters
    ----------
    settings: they have a DSN.
    """

    def __init__(self, settings: Settings) -> None:
        self._send = _Postman(settings)
        self._limit = FaultLimit()
        # The schema's revisions, once there is somebody who knows them.
        self.heads: Heads = dict
        self.reported = 0
        self.held_back = 0

    @property
    def lost(self) -> int:
        """Those that Sentry did not take."""
        return self._send.lost

    def report(self, error: BaseException, *, level: str, tags: Mapping[str, str | None]) -> None:
        """Report an exception, once however many tell of it.

        Parameters
        ----------
        tags: what faults are searched by; those that are None are left out. `code` is part of which fault it is.
        """
        if getattr(error, _REPORTED, False):
            return
        with suppress(AttributeError):  # a class may allow no attributes
            setattr(error, _REPORTED, True)
        key = fingerprint(error, tags.get("code"))
        held_back = self._admit(key)
        if held_back is not None:
            self._send(self._event(key, level, tags, held_back) | {"exception": {"values": exceptions(error)}})

    def report_state(self, message: str, code: str, *, level: str) -> None:
        """Report what is no exception; `code` says which fault it is."""
        key = ("state", code)
        held_back = self._admit(key)
        if held_back is not None:
            text = without_addresses(scrubbed(message))
            self._send(self._event(key, level, {"code": code}, held_back) | {"logentry": {"formatted": text}})

    def flush(self, timeout_s: float) -> None:
        """Wait until what was reported is sent, so long at most."""
        self._send.flush(timeout_s)

    def _admit(self, key: tuple[str, ...]) -> int | None:
        held_back = self._limit.admit(key)
        if held_back is None:
            self.held_back += 1
        else:
            self.reported += 1
        return held_back

    def _event(
        self, key: tuple[str, ...], level: str, tags: Mapping[str, str | None], held_back: int
    ) -> dict[str, Any]:
        every = {"request_id": REQUEST_ID.get(), **self.heads(), **tags}
        event: dict[str, Any] = {
            "level": level,
            "fingerprint": list(key),
            "tags": {name: value for name, value in every.items() if value},
        }
        if route := tags.get("http.route"):
            event["transaction"] = f"{tags.get('http.request.method')} {route}"
        if held_back:
            event["extra"] = {"held_back_since_the_last_event": held_back}
        if trace := trace_fields():
            event["contexts"] = {"trace": {"trace_id": trace["trace_id"], "span_id": trace["span_id"]}}
        return event


class _Postman:
    """Sentry's client, set to add nothing."""

    def __init__(self, settings: Settings) -> None:
        from sentry_sdk import Client
        from sentry_sdk.transport import HttpTransport

        postman = self

        class Transport(HttpTransport):
            TIMEOUT = 5  # seconds for one event; the default of 30 would keep a queue waiting for a silent server

            def on_dropped_event(self, reason: str) -> None:
                postman._tell_of_loss(reason)

        self.lost = 0
        self._told_at = float("-inf")
        self._lock = threading.Lock()
        self._runtime = {"name": platform.python_implementation(), "version": platform.python_version()}
        release, environment = _release(settings.commit), settings.env.value
        self._common = {"platform": "python", "release": release, "environment": environment}
        # urllib3 tells of each attempt that fails; ours is told once a minute.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._client = Client(
            dsn=settings.sentry_dsn,
            release=release,
            environment=environment,
            transport=Transport,
            transport_queue_size=_QUEUE,
            before_send=_as_written,
            # Each of the default ones was looked at (docs/adr/0016): none is needed, and some tell of the machine.
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[],
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            server_name="",
            auto_session_tracking=False,
            send_client_reports=False,
            enable_backpressure_handling=False,
            # Variables of its own, which would send to elsewhere or print.
            spotlight=False,
            debug=False,
        )

    def __call__(self, event: dict[str, Any]) -> None:
        written = self._common | event
        written["contexts"] = {"runtime": self._runtime, **event.get("contexts", {})}
        # The library is handed an empty one: what it makes of an event, it makes in place.
        self._client.capture_event({}, {"as_written": written})

    def flush(self, timeout_s: float) -> None:
        self._client.flush(timeout=timeout_s)

    def _tell_of_loss(self, reason: str) -> None:
        """In the postman's thread."""
        with self._lock:
            self.lost += 1
            now = time.monotonic()
            if now - self._told_at < _TELL_LOSSES_EVERY_S:
                return
            self._told_at = now
        logger.warning("Sentry did not take an event: %s", reason, extra={"events_lost": self.lost})


def _as_written(event: Any, hint: dict[str, Any]) -> Any:
    """Of the event as the library made it, only its number and its time; whatever is not ours does not go out."""
    written = hint.get("as_written")
    if written is None:
        return None
    return written | {name: event[name] for name in ("event_id", "timestamp", "sdk") if name in event}


def _release(commit: str | None) -> str:
    """As Sentry wants it: package@version+build."""
    return f"taskmanager@{__version__}+{commit}" if commit else f"taskmanager@{__version__}"


_reporter: Reporter | None = None


def start(settings: Settings) -> None:
    """Report the faults of this process from now on, those that end it among them; without a DSN nothing is done.

    After `logs.configure`, which hands every logger to its own handler alone.
    """
    global _reporter
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _LoggedErrors)]
    _reporter = None
    if settings.sentry_dsn is not None:
        _reporter = Reporter(settings)
        root.addHandler(_LoggedErrors(logging.ERROR))
        sys.excepthook = _last_words


def know_heads(heads: Heads) -> None:
    """Let every event bear the schema's revisions."""
    if _reporter is not None:
        _reporter.heads = heads


def report(
    error: BaseException, *, code: str | None = None, level: str = "error", tags: Mapping[str, str | None] | None = None
) -> None:
    """Report an exception, where faults are reported. Never raises and never waits."""
    if (reporter := _reporter) is not None:
        _guarded(lambda: reporter.report(error, level=level, tags={"code": code, **(tags or {})}))


def report_state(message: str, *, code: str, level: str = "error") -> None:
    """Report what is no exception, a state, say. Never raises and never waits."""
    if (reporter := _reporter) is not None:
        _guarded(lambda: reporter.report_state(message, code, level=level))


def _guarded(telling: Callable[[], None]) -> None:
    try:
        telling()
    except Exception as fault:  # noqa: BLE001  the fault of a request must not become another one
        logger.warning("a fault could not be reported: %s", type_name(fault))


def flush(timeout_s: float = FLUSH_S) -> None:
    """Wait until what was reported is sent, so long at most. Only for a process that is about to end."""
    if _reporter is not None:
        _reporter.flush(timeout_s)


class _LoggedErrors(logging.Handler):
    """What is logged as an error with its exception is reported, whoever logs it, so that no place forgets to."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            known = record.__dict__
            route = {name: known.get(name) for name in ("http.request.method", "http.route")}
            report(error, code=known.get("code"), tags=route)


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends the process is reported before it is printed."""
    if not issubclass(kind, KeyboardInterrupt):
        report(error, code="crashed", level="fatal")
        flush()
    sys.__excepthook__(kind, error, trace)
