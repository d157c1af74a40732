"""Asking other programs over HTTP, with the standard library alone.

No redirect is followed: it would carry the key to whoever is named there. The machine itself is asked without a proxy.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from taskmanager.incidents.access import is_loopback

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class Unreachable(Exception):
    """No answer that could be understood. The message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def ask(
    url: str,
    *,
    query: dict[str, str] | None = None,
    body: object = None,
    key: str | None = None,
    timeout_s: float = 10.0,
) -> Answer:
    """GET a URL, or POST where there is a body, and read the answer as JSON, whatever its status.

    Raises
    ------
    Unreachable: nobody answers, not in time, or not in JSON.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise Unreachable("its address must begin with http:// or https://")
    full = f"{url}?{urlencode(query)}" if query else url
    headers = {"Accept": "application/json"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        request = urllib.request.Request(full, data, headers)  # noqa: S310  the scheme is checked above
        with _answered(url, request, timeout_s) as response:
            return Answer(response.status, _read(response))
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(_reason(error)) from None


def post(url: str, body: object, *, timeout_s: float) -> None:
    """POST JSON to an address that is a secret, whatever it answers with as long as it accepts.

    Raises
    ------
    Unreachable: nobody answers, not in time, or with another status than 2xx. The message quotes nothing: an answer
    that is none may echo the address.
    """
    try:
        request = urllib.request.Request(  # noqa: S310  whoever gives the address has checked its scheme
            url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with _answered(url, request, timeout_s) as response:
            status = response.status
    except (OSError, HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise Unreachable("no answer in time" if isinstance(cause, TimeoutError) else type(cause).__name__) from None
    if not 200 <= status < 300:
        raise Unreachable(f"it answered {status}")


def _answered(url: str, request: urllib.request.Request, timeout_s: float) -> Any:
    """The answer, whatever its status; to urllib an error is an exception that can be read like any other answer."""
    try:
        return _opener(url).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        return error


def _opener(url: str) -> urllib.request.OpenerDirector:
    direct = is_loopback(urlsplit(url).hostname or "")
    proxies = [urllib.request.ProxyHandler({})] if direct else []
    return urllib.request.build_opener(_NoRedirect, *proxies)


def _read(response: Any) -> Any:
    content = response.read(LARGEST_ANSWER_BYTES + 1)
    if len(content) > LARGEST_ANSWER_BYTES:
        raise Unreachable("its answer is too long")
    try:
        return json.loads(content)
    except ValueError:
        raise Unreachable(f"it answered {response.status}, and not in JSON") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return str(reason) or type(error).__name__
