"""Which web pages of other origins may call this service from a browser: none unless they are named.

No cookie is ever a credential here, so Access-Control-Allow-Credentials is never sent. Whom a page is kept from
reading is the browser's business; who may call at all is that of the API keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from taskmanager.refusal import RawHeaders, Refusal

ANY_ORIGIN = "*"

_EXPOSED_HEADERS = (
    b"Accept-Patch, Allow, ETag, Idempotency-Replayed, Link, Location, Retry-After, WWW-Authenticate, X-Request-ID"
)

_PREFLIGHT: RawHeaders = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, X-Request-ID",
    ),
    # Seconds for which a browser need not ask again. They are few, since a page that is no longer named should notice.
    (b"access-control-max-age", b"600"),
)

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?P<port>:[1-9]\d{0,4})?", re.ASCII
)


def read_origins(text: str) -> tuple[str, ...]:
    """Origins with commas between them, as browsers send them: lower case, no default port.

    Raises
    ------
    ValueError: one is none.
    """
    names = [name for name in (part.strip().lower() for part in text.split(",")) if name]
    if ANY_ORIGIN in names:
        if len(names) > 1:
            raise ValueError("* stands for every origin, so no other can stand beside it")
        return (ANY_ORIGIN,)
    return tuple(dict.fromkeys(_origin(name) for name in names))


def _origin(name: str) -> str:
    match = _ORIGIN.fullmatch(name)
    if match is None or int((match["port"] or ":0")[1:]) > 65535:
        raise ValueError(
            f"{name!r} is no origin; that is http:// or https://, a host and perhaps a port, and no / after it:"
            " https://app.example.com"
        )
    port = match["port"] or ""
    return f"{match['scheme']}://{match['host']}" + ("" if port == _DEFAULT_PORTS[match["scheme"]] else port)


@dataclass(frozen=True, slots=True)
class Preflight:
    """The answer to a browser that asks before it calls: 204 with `headers`, or the refusal.

    As onto every answer, `CrossOrigin.headers` go onto both.
    """

    headers: RawHeaders
    refusal: Refusal | None = None


class CrossOrigin:
    """The headers that let named origins call.

    Parameters
    ----------
    origins: as `read_origins` gives them.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        named = tuple(origins)
        # With one answer for all, a cache need not keep one for each origin.
        self._any = ANY_ORIGIN in named
        vary = () if self._any else ((b"vary", b"Origin"),)
        exposed = (b"access-control-expose-headers", _EXPOSED_HEADERS)
        self._of_strangers: RawHeaders = vary
        self._of_all: RawHeaders = (_allow(b"*"), exposed)
        self._by_origin: dict[bytes | None, RawHeaders] = {
            name.encode(): (_allow(name.encode()), exposed, *vary) for name in named
        }

    def headers(self, origin: bytes | None) -> RawHeaders:
        """What goes onto every answer, errors too: a page cannot read a 401 without them."""
        return self._of_all if self._any else self._by_origin.get(origin, self._of_strangers)

    def preflight(self, headers: Iterable[tuple[bytes, bytes]]) -> Preflight | None:
        """The answer to an OPTIONS request with these headers, None where it is no preflight.

        A browser sends no key with it, so it comes before the check of keys. It is told all that is allowed and
        finds for itself what it lacks, which its console then names; a refusal there would only hide the reason.
        """
        origin = _first(headers, b"origin")
        if origin is None or _first(headers, b"access-control-request-method") is None:
            return None
        if not self._any and origin not in self._by_origin:
            detail = "Pages of this origin may not call this service; TASKMANAGER_CORS_ORIGINS names those that may."
            return Preflight((), Refusal(403, "origin_not_allowed", detail))
        return Preflight(_PREFLIGHT)


def _allow(origin: bytes) -> tuple[bytes, bytes]:
    return (b"access-control-allow-origin", origin)


def _first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)
