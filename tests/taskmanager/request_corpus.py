"""Requests as bytes, plain ones and hostile ones, in an order in which each meets the tasks of those before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

JSON = b"Content-Type: application/json\r\n"
MERGE = b"Content-Type: application/merge-patch+json\r\n"


@dataclass(frozen=True)
class Sent:
    """One request, and what it is sent as a body, whole or in chunks."""

    method: bytes
    target: bytes
    headers: bytes = b""
    body: bytes | None = None
    chunked: bool = False

    def bytes(self, more_headers: bytes = b"") -> bytes:
        head = self.method + b" " + self.target + b" HTTP/1.1\r\nHost: service\r\nConnection: close\r\n"
        head += self.headers + more_headers
        if self.body is None:
            return head + b"\r\n"
        if self.chunked:
            half = len(self.body) // 2
            pieces = [piece for piece in (self.body[:half], self.body[half:]) if piece]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body


BODIES = [
    b'{"title":"a"}',
    '{"title":"Ma première tâche","description":"Test de l\'API"}'.encode(),
    b'{"title":"  trimmed  ","tags":["x","y"],"priority":"high","status":"done","due_at":"2026-12-31T18:00:00Z"}',
    b'{"title":"a","title":"b"}',
    b'{"title":""}',
    b'{"title":"' + b"x" * 201 + b'"}',
    b'{"title":null}',
    b'{"title":1}',
    b'{"title":"a","unknown":1}',
    b'{"title":"a","id":5}',
    b'{"title":"a","due_at":"2026-12-31"}',
    b'{"title":"a","due_at":"2026-02-30T00:00:00Z"}',
    b'{"title":"a","due_at":1767225600}',
    b'{"title":"a","due_at":"0001-01-01T00:00:00+14:00"}',
    b'{"title":"a","due_at":"9999-12-31T23:59:59-14:00"}',
    b'{"title":"a","tags":["x","x"]}',
    b'{"title":"a","tags":[""]}',
    b'{"title":"a","tags":' + json.dumps(["t" + str(i) for i in range(21)]).encode() + b"}",
    b'{"title":"a\\u0000b"}',
    b'{"title":"\\ud800"}',
    b'{"title":"\xff\xfe"}',
    b'\xef\xbb\xbf{"title":"bom"}',
    '{"title":"utf-16"}'.encode("utf-16"),
    b'{"title":NaN}',
    b'{"title":"a","priority":Infinity}',
    b'{"title":"a","priority":1e400}',
    b'{"title":"a","priority":9223372036854775808}',
    b"[" * 5000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"[]",
    b"null",
    b'"title"',
    b"{}",
    b"",
    b"{",
    b'{"title":"a"} trailing',
    b'{"title":"a",}',
    b"{'title':'a'}",
    b'{"title":"\\u202eright to left \xf0\x9f\x9a\x80"}',
    b'{"title":"x\'; DROP TABLE tasks; --","description":"$1 %s {0}"}',
    b'{"title":"' + b"y" * 66_000 + b'"}',
]

TARGETS = [
    b"/tasks", b"/tasks?limit=1", b"/tasks?limit=200", b"/tasks?limit=201", b"/tasks?limit=0", b"/tasks?limit=-1",
    b"/tasks?limit=", b"/tasks?limit=abc", b"/tasks?limit=1_0", b"/tasks?limit=+5", b"/tasks?limit=5&limit=6",
    b"/tasks?limit=x&limit=2", b"/tasks?nope=1", b"/tasks?limit=2&nope=1&nope=2", b"/tasks?", b"/tasks?&&",
    b"/tasks?%00=1", b"/tasks?limit=%00", b"/tasks?limit=%ff", b"/tasks?=1", b"/tasks?limit",
    b"/tasks?limit=9" + b"9" * 400,
    b"/tasks?status=todo", b"/tasks?status=nope", b"/tasks?sort=due_at", b"/tasks?sort=-priority&status=done",
    b"/tasks?sort=-updated_at&updated_since=2026-01-01T00:00:00Z", b"/tasks?q=tache", b"/tasks?q=%00", b"/tasks?tag=x",
    b"/tasks?due_before=2027-01-01T00:00:00Z", b"/tasks?cursor=AAAA", b"/tasks?cursor=%00", b"/tasks?sort=nope",
    b"/tasks/1", b"/tasks/1?id=2", b"/tasks/1?", b"/tasks/2", b"/tasks/0", b"/tasks/-1", b"/tasks/00", b"/tasks/01",
    b"/tasks/+1",
    b"/tasks/1.0", b"/tasks/1e3", b"/tasks/1_000", b"/tasks/%31", b"/tasks/%201", b"/tasks/1%20", b"/tasks/1%2F2",
    b"/tasks/1/", b"/tasks/", b"/tasks//1", b"/tasks/1/2", b"/tasks/9223372036854775807", b"/tasks/9223372036854775808",
    b"/tasks/abc", b"/tasks/%00", b"/tasks/%ff", b"/tasks/%D9%A1", b"/tasks/" + b"9" * 5000,
    b"/", b"/nope", b"//", b"/TASKS",
    b"/tasks;x=1", b"/tasks/1;x", b"/../tasks", b"/tasks/../tasks/1", b"/openapi.jsonx",
]  # fmt: skip

HEADERS = [
    b'If-None-Match: "1"\r\n', b'If-None-Match: W/"1"\r\n', b"If-None-Match: *\r\n", b'If-None-Match: "0", "1"\r\n',
    b'If-None-Match: "0"\r\nIf-None-Match: "1"\r\n', b"If-None-Match: nonsense\r\n", b"If-None-Match: \xff\r\n",
    b'If-Match: "1"\r\n', b'If-Match: "999"\r\n', b"If-Match: *\r\n", b'If-Match: W/"1"\r\n', b"If-Match:\r\n",
    b"If-Match: " + b'"x",' * 500 + b'"1"\r\n', b"X-Request-Id: from-a-client\r\n", b"Accept: text/html\r\n",
    b"Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", b"Cookie: a=1\r\nCookie: b=2\r\n", b"Expect: 100-continue\r\n",
    b"Authorization: Bearer x\r\nAuthorization: Bearer y\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
]  # fmt: skip

MEDIA_TYPES = [
    JSON, MERGE, b"", b"Content-Type: application/json; charset=utf-8\r\n", b"Content-Type: APPLICATION/JSON\r\n",
    b"Content-Type: text/plain\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n",
    b"Content-Type: application/vnd.api+json\r\n", b"Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    b"Content-Type: \xff\r\n", b"Content-Type: application/json;\r\n",
]  # fmt: skip

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND"]


def corpus(seed: int = 7, mixed: int = 400) -> Iterator[Sent]:
    """Every target, body, header and media type once where it fits, and then mixtures of them by chance."""
    for number in range(3):
        yield Sent(b"POST", b"/tasks", JSON, b'{"title":"task %d","tags":["x"]}' % number)
    for target in TARGETS:
        yield Sent(b"GET", target)
        yield Sent(b"HEAD", target)
    for body in BODIES:
        yield Sent(b"POST", b"/tasks", JSON, body)
        yield Sent(b"PUT", b"/tasks/1", JSON, body)
        yield Sent(b"PATCH", b"/tasks/2", MERGE, body)
        yield Sent(b"POST", b"/tasks", JSON, body, chunked=True)
    for headers in HEADERS:
        yield Sent(b"GET", b"/tasks/1", headers)
        yield Sent(b"PUT", b"/tasks/1", headers + JSON, BODIES[0])
        yield Sent(b"PATCH", b"/tasks/2", headers + MERGE, b'{"priority":"low"}')
    for media_type in MEDIA_TYPES:
        for method, target in ((b"POST", b"/tasks"), (b"PUT", b"/tasks/1"), (b"PATCH", b"/tasks/2")):
            yield Sent(method, target, media_type, BODIES[1])
    for method in METHODS:
        for target in (b"/tasks", b"/tasks/3", b"/health", b"/metrics", b"/nope", b"/openapi.json", b"/docs", b"*"):
            yield Sent(method, target)
    for number in range(3):
        yield Sent(b"POST", b"/tasks", JSON + b"Idempotency-Key: key-%d\r\n" % (number % 2), BODIES[number % 2])
    chance = random.Random(seed)  # noqa: S311  the same mixtures each time
    for _ in range(mixed):
        method = chance.choice(METHODS[:6])
        target = chance.choice(TARGETS)
        headers = chance.choice([b"", b"", chance.choice(HEADERS)])
        if method in {b"POST", b"PUT", b"PATCH"}:
            yield Sent(
                method,
                target,
                headers + chance.choice([JSON, MERGE, chance.choice(MEDIA_TYPES)]),
                _damaged(chance.choice(BODIES), chance),
                chunked=chance.random() < 0.3,
            )
        else:
            yield Sent(method, target, headers)


def _damaged(body: bytes, chance: random.Random) -> bytes:
    if not body or chance.random() < 0.4:
        return body
    place = chance.randrange(len(body))
    return chance.choice(
        [
            body[:place],
            body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :],
            body[:place] + body[place:] * 2,
        ]
    )
