"""What can be answered from a request's head alone, before anything of its body is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from taskmanager.access.cors import CrossOrigin
from taskmanager.access.key_lines import TASKS_READ
from taskmanager.access.keys import Keyring
from taskmanager.dispatch.exchange import length_of
from taskmanager.dispatch.route_table import PathEntry
from taskmanager.problems import CONTENT_TOO_LARGE, MEDIA_TYPE, NOTHING_HERE, PATCH_MEDIA_TYPES, problem_body
from taskmanager.refusal import RawHeaders, Refusal

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "_OTHER"
_MOST_DIGITS = 18

_NO_ROOM = "The service is working on as many requests as it can. Try again in a moment."
# As `problem_body` makes it, but once: who refuses many must refuse cheaply.
_NO_ROOM_BODY = problem_body(503, "overloaded", _NO_ROOM, instance="%s", request_id="%s").replace(
    b'"instance":"%s"', b'"instance":%s'
)
_NO_ROOM_LINES = (
    b"cache-control: no-store\r\ncontent-length: %d\r\ncontent-type: application/problem+json\r\n"
    b"retry-after: 1\r\nx-request-id: %s\r\n"
)


class RefusalReason(StrEnum):
    """Why a request was refused that might have been served at another time."""

    OVERLOADED = "overloaded"
    SCHEMA = "schema"
    MIGRATING = "migrating"  # as planned: a migration is under way, after which the schema is servable


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for every request and every answer.

    always_paths: they answer whatever the schema and the load: probes, metrics, the documentation.
    public_paths: they answer whoever asks.
    quiet_paths: probes and scrapes, which come every second and tell nothing while all is well.
    security_headers: of every answer that brings none of its own.
    largest_body_bytes: a request that announces more is refused unread.
    max_in_flight: requests in work at once; the next one is refused.
    """

    always_paths: frozenset[str]
    public_paths: frozenset[str]
    quiet_paths: frozenset[str]
    security_headers: RawHeaders
    largest_body_bytes: int
    max_in_flight: int


class Admission:
    """Who and what may come in, and how many at once.

    `in_flight` counts the requests in work; whoever lets one in counts it. `refused` counts those that were refused for
    a reason that passes; the gate's refusals are counted by whoever asks the gate.

    Parameters
    ----------
    policy: what holds for all.
    keyring: who may call; None where nobody is asked.
    cross_origin: which web pages may call; None where none may.
    """

    def __init__(self, policy: Policy, *, keyring: Keyring | None, cross_origin: CrossOrigin | None) -> None:
        self.policy = policy
        self.cross_origin = cross_origin
        self.in_flight = 0
        self.refused = dict.fromkeys(RefusalReason, 0)
        self._keyring = keyring
        self._always_paths = policy.always_paths
        self._public_paths = policy.public_paths
        self._largest_body_bytes = policy.largest_body_bytes
        self._max_in_flight = policy.max_in_flight

    def is_full(self) -> bool:
        """Is there room for no more requests but those of `always_paths`?"""
        return self.in_flight >= self._max_in_flight

    def has_room(self, path: str) -> bool:
        return self.in_flight < self._max_in_flight or path in self._always_paths

    def refusal(
        self, scope: Scope, headers: Mapping[bytes, bytes], path: str, entry: PathEntry | None
    ) -> Response | None:
        """The answer to a request that goes no further; None for one that does."""
        method = scope["method"]
        length = headers.get(b"content-length")
        if method not in METHODS:
            return problem(scope, 405, "method_not_allowed", "This method is not served.", _allow(entry))
        if scope["http_version"] == "1.1" and b"host" not in headers:
            return problem(scope, 400, "malformed_http", "HTTP/1.1 asks for a Host header.")
        if length is not None and (len(length) > _MOST_DIGITS or length_of(length) > self._largest_body_bytes):
            return too_large(scope)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return problem(scope, 415, "unsupported_media_type", "A body is taken as it is, in no Content-Encoding.")
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            return problem(scope, 501, "not_implemented", "Of the transfer codings only chunked is understood.")
        if not self.has_room(path):
            return self.no_room(scope)
        if method == "OPTIONS":
            if entry is not None:
                return self._options(scope, entry)
            if path == "*":  # of the server as a whole
                return Response(status_code=204, headers={"Allow": ", ".join(sorted(METHODS))})
        operation = entry.operations.get("GET" if method == "HEAD" else method) if entry is not None else None
        if self._keyring is not None and path not in self._public_paths:
            # Who has no key does not even learn which paths there are.
            needed = operation.scope if operation is not None else None
            refusal = self._keyring.check(headers.get(b"authorization"), needed or TASKS_READ)
            if refusal is not None:
                return _refused(scope, refusal)
        if entry is None:
            # Not the router's to say: its patterns take more than this table holds, a line break at the end say.
            return problem(scope, 404, "not_found", NOTHING_HERE)
        if operation is None:
            detail = "This path does not take this method; the Allow header lists those it takes."
            return problem(scope, 405, "method_not_allowed", detail, _allow(entry))
        return None

    def no_room_in_bytes(self, path: str, request_id: str) -> tuple[bytes, bytes] | None:
        """As `refusal` where there is no room, of a request of which nothing is made: the 503's header lines and body.

        None where there is room, or where the ordinary way must answer: what is always answered, and what another
        origin may read.
        """
        if self.has_room(path) or self.cross_origin is not None:
            return None
        self.refused[RefusalReason.OVERLOADED] += 1
        body = _NO_ROOM_BODY % (json.dumps(path).encode(), request_id.encode())
        return _NO_ROOM_LINES % (len(body), request_id.encode()), body

    def no_room(self, scope: Scope) -> Response:
        """Refuse for want of room."""
        self.refused[RefusalReason.OVERLOADED] += 1
        return problem(scope, 503, "overloaded", _NO_ROOM, ((b"retry-after", b"1"),))

    def _options(self, scope: Scope, entry: PathEntry) -> Response:
        preflight = self.cross_origin.preflight(scope["headers"]) if self.cross_origin is not None else None
        if preflight is None:
            headers = {"Allow": entry.allow}
            if "PATCH" in entry.operations:
                headers["Accept-Patch"] = ", ".join(PATCH_MEDIA_TYPES)
            return Response(status_code=204, headers=headers)
        if preflight.refusal is not None:
            return _refused(scope, preflight.refusal)
        answer = Response(status_code=204)
        answer.raw_headers.extend(preflight.headers)
        return answer


def problem(scope: Scope, status: int, code: str, detail: str, headers: RawHeaders = ()) -> Response:
    """An answer of the front door's own."""
    body = problem_body(status, code, detail, instance=scope["path"], request_id=scope["state"]["request_id"])
    response: Any = Response(body, status, {"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
    response.raw_headers.extend(headers)
    return response  # type: ignore[no-any-return]


def too_large(scope: Scope) -> Response:
    return problem(scope, 413, "content_too_large", CONTENT_TOO_LARGE)


def method_label(method: str) -> str:
    """The method as the log and the metrics name it.

    Whatever a client makes up would become a label of its own in the metrics, for as long as the process lives.
    """
    return method if method in METHODS else OTHER_METHOD


def _refused(scope: Scope, refusal: Refusal) -> Response:
    return problem(scope, refusal.status, refusal.code, refusal.detail, refusal.headers)


def _allow(entry: PathEntry | None) -> RawHeaders:
    return ((b"allow", entry.allow.encode() if entry is not None else b""),)
