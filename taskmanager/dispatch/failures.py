"""What is answered where something was raised: by the application's handler for it, else with a 500 that tells nothing.

The log has what the answer does not tell.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from taskmanager.dispatch.admission import method_label, problem
from taskmanager.dispatch.exchange import Exchange
from taskmanager.dispatch.repeated_headers import RepeatedHeader

logger = logging.getLogger(__name__)

# What nginx logs where a client has gone before the answer; no client ever sees it.
CLIENT_CLOSED_REQUEST = 499


async def answer_to(
    error: Exception, scope: Scope, exchange: Exchange, app: FastAPI, route: str | None
) -> Response | None:
    """The answer to what went wrong; None where it can reach nobody.

    Parameters
    ----------
    route: the path with its parameter's name in it, None where there is none.

    Raises
    ------
    Exception: the error, where an answer has begun already.
    """
    if isinstance(error, ClientDisconnect):
        exchange.status = CLIENT_CLOSED_REQUEST
        return None
    if isinstance(error, RepeatedHeader):
        return problem(scope, 400, "repeated_header", str(error))
    if exchange.status == 0:
        for kind in type(error).__mro__:
            handler = app.exception_handlers.get(kind)
            if handler is None or kind is Exception:
                continue
            try:
                answer: Response = await handler(Request(scope), error)  # type: ignore[misc]
            except Exception as unhandled:  # noqa: BLE001  it declined
                error = unhandled
                break
            return answer
    fields = {
        "code": "internal_error",
        "http.route": route,
        "http.request.method": method_label(scope["method"]),
        "http.response.status_code": exchange.status or 500,
        "error.type": type(error).__name__,
        "db.response.status_code": getattr(error, "sqlstate", None),
    }
    # Sentry learns of it too, as of all that is logged with its exception (`observability.sentry`).
    logger.error("unhandled error", exc_info=error, extra=fields)
    if exchange.status:
        raise error  # the answer has begun: only breaking the connection tells the client
    return problem(scope, 500, "internal_error", "This is our fault. The log names it.")
