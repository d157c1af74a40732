"""The receiver over HTTP: Alertmanager's webhook, the incidents, the metrics and the probes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taskmanager.incidents import problems
from taskmanager.incidents.access import Gatekeeper, names_loopback
from taskmanager.incidents.bodies import read_deployment, read_words
from taskmanager.incidents.deployment_metrics import DeploymentsCollector
from taskmanager.incidents.entries import Kind
from taskmanager.incidents.history import State
from taskmanager.incidents.journal import JournalNotWritable
from taskmanager.incidents.metrics import new_registry
from taskmanager.incidents.problems import NO_STORE, ProblemError
from taskmanager.incidents.receiver import AlreadySo, NoSuchIncident, Receiver
from taskmanager.incidents.reconciliation import Reconciliation
from taskmanager.incidents.webhook import BadWebhook, Notification, read_notification

# An alert is about a kilobyte; a group of thousands still comes through.
LARGEST_NOTIFICATION_BYTES = 4 * 1024 * 1024
LARGEST_WORDS_BYTES = 64 * 1024
LONGEST_BODY_S = 10.0

# Probes need no key: they tell no incident, and those who ask them hold no secrets.
_OPEN_PATHS = ("/livez", "/readyz")

Handler = Callable[[Request], Awaitable[Response]]


def create_app(receiver: Receiver, gatekeeper: Gatekeeper, reconciliation: Reconciliation | None = None) -> Starlette:
    """The receiver's application. Its lifespan looks for the heartbeat, tells of its absence, and asks Alertmanager
    where that is wanted."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        looking = [
            asyncio.create_task(receiver.keep_watch()),
            asyncio.create_task(receiver.announcer.keep_telling()),
        ]
        if reconciliation is not None:
            looking.append(asyncio.create_task(reconciliation.keep_looking()))
        try:
            yield
        finally:
            for task in looking:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def guarded(handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            _must_be_let_in(request, gatekeeper)
            return await handler(request)

        return endpoint

    desk = _Desk(receiver)
    routes = [
        Route("/alerts", guarded(desk.alerts), methods=["POST"]),
        Route("/incidents", guarded(desk.incidents), methods=["GET"]),
        Route("/incidents/{id}", guarded(desk.incident), methods=["GET"]),
        Route("/incidents/{id}/acknowledge", guarded(desk.acting(Kind.ACKNOWLEDGED)), methods=["POST"]),
        Route("/incidents/{id}/notes", guarded(desk.acting(Kind.NOTE)), methods=["POST"]),
        Route("/incidents/{id}/resolve", guarded(desk.acting(Kind.RESOLVED)), methods=["POST"]),
        Route("/deployments", guarded(desk.deployments), methods=["GET"]),
        Route("/deployments", guarded(desk.deploy), methods=["POST"]),
        Route("/metrics", guarded(desk.metrics), methods=["GET"]),
        Route("/livez", guarded(desk.livez), methods=["GET"]),
        Route("/readyz", guarded(desk.readyz), methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {
        ProblemError: problems.answer,
        HTTPException: _on_http_exception,
        JournalNotWritable: _on_not_writable,
        Exception: _on_fault,
    }
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


class _Desk:
    """What each route does."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._registry = new_registry(receiver)
        self._registry.register(DeploymentsCollector(receiver))

    async def alerts(self, request: Request) -> Response:
        body = await _json_body(request, LARGEST_NOTIFICATION_BYTES)
        try:
            notification = read_notification(body)
        except BadWebhook as error:
            raise ProblemError(400 if error.code == "malformed_json" else 422, error.code, str(error)) from None
        await self._receiver.take(notification)
        _must_be_whole(notification)
        return JSONResponse({"taken": len(notification.notices)}, headers=NO_STORE)

    async def incidents(self, request: Request) -> Response:
        state = request.query_params.get("state", State.OPEN)
        if state not in ("open", "resolved", "all"):
            raise ProblemError(422, "invalid_request", "state must be open, resolved or all.")
        found = [incident.as_json() for incident in self._receiver.history.listed(state)]
        return JSONResponse(found, headers=NO_STORE)

    async def incident(self, request: Request) -> Response:
        incident = self._receiver.history.incidents.get(_id(request))
        if incident is None:
            raise _not_found()
        return JSONResponse(incident.with_entries(), headers=NO_STORE)

    def acting(self, kind: Kind) -> Handler:
        async def act(request: Request) -> Response:
            by, text = read_words(await _json_body(request, LARGEST_WORDS_BYTES), text_needed=kind is Kind.NOTE)
            try:
                incident = await self._receiver.act(kind, _id(request), by, text)
            except NoSuchIncident:
                raise _not_found() from None
            except AlreadySo as error:
                raise ProblemError(409, f"already_{kind.value}", str(error)) from None
            return JSONResponse(incident.with_entries(), headers=NO_STORE)

        return act

    async def deployments(self, request: Request) -> Response:
        found = [entry.as_json() for entry in reversed(self._receiver.history.deployments)]
        return JSONResponse(found, headers=NO_STORE)

    async def deploy(self, request: Request) -> Response:
        by, text, facts = read_deployment(await _json_body(request, LARGEST_WORDS_BYTES))
        entry = await self._receiver.deployed(by, text, facts)
        return JSONResponse(entry.as_json(), 201, headers=NO_STORE)

    async def metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def readyz(self, request: Request) -> Response:
        """503 while the journal cannot be written: what comes is refused, and sent again."""
        receiver = self._receiver
        content = {
            "status": "ready" if receiver.not_writable_since is None else "journal_not_writable",
            "damaged_lines": [damage.line for damage in receiver.damage],
        }
        return JSONResponse(content, 200 if receiver.not_writable_since is None else 503, headers=NO_STORE)


def _must_be_let_in(request: Request, gatekeeper: Gatekeeper) -> None:
    if not gatekeeper.asks:
        if not names_loopback(request.headers.get("host", "")):
            raise ProblemError(
                421,
                "host_not_allowed",
                "Without a key, this receiver answers to localhost alone. Ask for localhost, or set a key.",
            )
        return
    if request.url.path in _OPEN_PATHS or gatekeeper.admits(request.headers.get("authorization")):
        return
    raise ProblemError(
        401,
        "unauthenticated",
        "The receiver's key is needed: Authorization: Bearer KEY",
        headers={"WWW-Authenticate": 'Bearer realm="taskmanager incidents"'},
    )


def _must_be_whole(notification: Notification) -> None:
    """Alertmanager counts a 4xx as a failed notification and does not repeat it, so what could be taken was."""
    if notification.faults:
        faulty, taken = len(notification.faults), len(notification.notices)
        told = notification.faults[:100]
        errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in told]
        detail = f"{faulty} of {faulty + taken} alerts cannot be understood; the others were taken. See errors."
        raise ProblemError(422, "invalid_alerts", detail, errors=errors)


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise _not_found()
    return int(text)


def _not_found() -> ProblemError:
    return ProblemError(
        404, "not_found", "There is no such incident; `taskmanager incidents list --state all` has all."
    )


async def _json_body(request: Request, largest_bytes: int) -> bytes:
    # A web page of another origin can send text/plain without being asked, and JSON it cannot.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "unsupported_media_type", "The body must be JSON: Content-Type: application/json.")
    too_large = ProblemError(413, "content_too_large", f"The body is larger than {largest_bytes // 1024} KiB.")
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > largest_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(LONGEST_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > largest_bytes:
                    raise too_large
    except TimeoutError:
        raise ProblemError(408, "too_slow", f"The body did not come within {LONGEST_BODY_S:.0f} s.") from None
    except ClientDisconnect:
        raise ProblemError(400, "cut_off", "The body did not come to its end.") from None
    return bytes(body)


_CODES = {404: "not_found", 405: "method_not_allowed"}
_DETAILS = {
    404: "There is nothing at this path.",
    405: "This path does not take this method; the Allow header lists those it takes.",
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class
    status = error.status_code
    problem = ProblemError(
        status, _CODES.get(status, "refused"), _DETAILS.get(status, "The request is refused."), headers=error.headers
    )
    return await problems.answer(request, problem)


async def _on_not_writable(request: Request, error: Exception) -> Response:
    detail = "The journal cannot be written, so nothing is acknowledged: send it again. The receiver's log says why."
    return await problems.answer(
        request, ProblemError(503, "journal_not_writable", detail, headers={"Retry-After": "5"})
    )


async def _on_fault(request: Request, error: Exception) -> Response:
    problem = ProblemError(500, "internal_error", "The receiver has a fault; its log has the cause.")
    return await problems.answer(request, problem)
