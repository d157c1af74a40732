"""Who may ask the receiver: whoever has its key or, where it has none, this machine alone."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable


class Gatekeeper:
    """The keys as digests, so that comparing takes the same time whatever was sent."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    @property
    def asks(self) -> bool:
        return bool(self._digests)

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this Authorization header may come in."""
        if not self._digests:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip().encode("latin-1", "replace"))
        # Each is compared, so that the time does not tell which one fits.
        fits = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == "bearer" and any(fits)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(host_header: str) -> bool:
    """Whether a Host header names this machine.

    A web page can have its own name resolve to 127.0.0.1 and so ask what listens there, in the browser of whoever
    visits it; the header still holds the page's name.
    """
    name = host_header.rpartition("]")[0].lstrip("[") if host_header.startswith("[") else host_header.partition(":")[0]
    return is_loopback(name.lower())
