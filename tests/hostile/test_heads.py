"""Request lines and headers of every shape."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Target
from tests.hostile.problem_schema import has_its_headers, problem_in
from tests.hostile.wire import CANARY_BYTES, CLOSE, HOST, answers_in, converse, post, request

REFUSED_LINES = {
    "no colon": CANARY_BYTES + b"\r\n",
    "no name": b": " + CANARY_BYTES + b"\r\n",
    "folded": b"X-A: a\r\n " + CANARY_BYTES + b"\r\n",
    "folded with a tab": b"X-A: a\r\n\t" + CANARY_BYTES + b"\r\n",
    "a blank in the name": b"X " + CANARY_BYTES + b": a\r\n",
    "a blank after the name": b"X-A : a\r\n",
    "a control character in the name": b"X\x01" + CANARY_BYTES + b": a\r\n",
    "latin-1 in the name": b"X-\xe9: a\r\n",
    "brackets in the name": b"X{}(): a\r\n",
    "NUL in the value": b"X-A: a\x00b\r\n",
    "a control character in the value": b"X-A: a\x01b\r\n",
    "an escape in the value": b"X-A: \x1b[31m\r\n",
    "DEL in the value": b"X-A: a\x7fb\r\n",
    "a bare CR in the value": b"X-A: a\rX-B: b\r\n",
    "a bare LF after the value": b"X-A: a\nX-B: b\r\n",
}
HARMLESS_LINES = {
    "latin-1 in the value": b"X-A: \xe9\xff\r\n",
    "UTF-8 in the value": "X-A: é🚀\r\n".encode(),
    "an empty value": b"X-A:\r\n",
    "tabs around the value": b"X-A:\t" + CANARY_BYTES + b"\t\r\n",
    "cookies": b"Cookie: session=" + CANARY_BYTES + b"\r\nCookie: b=2\r\n",
    "another client's address": b"X-Forwarded-For: " + CANARY_BYTES + b"\r\nForwarded: for=" + CANARY_BYTES + b"\r\n",
    "another scheme": b"X-Forwarded-Proto: " + CANARY_BYTES + b"\r\nX-Forwarded-Prefix: /" + CANARY_BYTES + b"\r\n",
    "another path": b"X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n",
    "another method": b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\n",
    "a referer": b"Referer: https://" + CANARY_BYTES + b".example/?x=%00\r\nUser-Agent: " + CANARY_BYTES + b"\r\n",
    "a range": b"Range: bytes=0-1,5-" + b"9" * 30 + b"\r\n",
    "encodings that nobody knows": b"Accept-Encoding: \xff;q=" + b"9" * 400 + b"\r\nAccept: " + CANARY_BYTES + b"\r\n",
    "another expectation": b"Expect: " + CANARY_BYTES + b"\r\n",
    "hop by hop": b"Connection: close, Authorization, Content-Length, X-" + CANARY_BYTES + b"\r\n",
    "many languages": b"Accept-Language: " + b"a;q=0.1, " * 800 + b"b\r\n",
    "an unusable request id": b"X-Request-Id: " + CANARY_BYTES + b"<script>\r\n",
    "an odd origin": b"Origin: null\r\nOrigin: https://" + CANARY_BYTES + b".example\r\n",
    "a trace": b"traceparent: 00-" + b"0" * 32 + b"-" + CANARY_BYTES + b"-zz\r\n",
    "names like those of this language": b"__class__: a\r\nHTTP_PROXY: http://" + CANARY_BYTES + b"\r\n",
}
ODD_HOSTS = [b"", b"[", b"]:x:[", b"a b", b"\xff", b"c4n4ry4711/a?", b"c4n4ry4711#", b"c4n4ry4711@x", b"x:99999",
             b"x:y", b"[::1%25c4n4ry4711]", b"a,b", b"x\\y", b"${c4n4ry4711}", b"x" * 20_000]  # fmt: skip


@pytest.mark.parametrize("lines", REFUSED_LINES.values(), ids=REFUSED_LINES.keys())
def test_a_line_that_is_no_header_is_refused(target: Target, lines: bytes) -> None:
    problem_in(target.ask(request(b"GET", b"/livez", lines)), 400, code="malformed_http")
    problem_in(target.ask(b"GET /livez HTTP/1.1\r\n" + lines + HOST + CLOSE + b"\r\n"), 400, code="malformed_http")


@pytest.mark.parametrize("lines", HARMLESS_LINES.values(), ids=HARMLESS_LINES.keys())
def test_a_header_that_nobody_asked_for_changes_nothing(target: Target, lines: bytes) -> None:
    found = target.ask(request(b"GET", b"/tasks?limit=1", lines))
    missing = target.ask(request(b"GET", b"/tasks/9223372036854775807", lines))

    assert found.status == 200
    assert has_its_headers(found)
    assert CANARY_BYTES not in found.body
    problem_in(missing, 404)
    assert target.ask(post(b'{"title":"plain"}', lines)).status == 201


UPGRADES = {
    # Java's client offers it with the first request to every http:// address.
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n",
}


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES.keys())
def test_an_upgrade_that_is_not_offered_changes_nothing(target: Target, lines: bytes) -> None:
    assert target.ask(request(b"GET", b"/livez", lines)).status == 200


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES.keys())
def test_an_upgrade_that_is_not_offered_leaves_the_body_where_it_is(target: Target, lines: bytes) -> None:
    assert target.ask(post(b'{"title":"upgraded"}', lines)).status == 201


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_a_host_that_is_none_is_echoed_nowhere(target: Target, host: bytes) -> None:
    lines = b" HTTP/1.1\r\nHost: " + host + b"\r\n" + CLOSE + b"\r\n"

    for path, status in ((b"tasks?limit=1", 200), (b"tasks?limit=0", 422), (b"nowhere", 404), (b"tasks/x", 422)):
        answer = target.ask(b"GET /" + path + lines)
        assert answer.status == status
        assert CANARY_BYTES not in answer.body
        if status != 200:
            assert problem_in(answer, status)["instance"] == f"/{path.decode().partition('?')[0]}"


@pytest.mark.parametrize(
    "name",
    [b"Host", b"Authorization", b"Content-Type", b"Idempotency-Key", b"HOST", b"content-type"],
)
def test_a_header_that_may_be_given_once_is_refused_twice_even_if_it_says_the_same(target: Target, name: bytes) -> None:
    line = name + b": " + CANARY_BYTES + b"\r\n"

    problem_in(target.ask(post(b'{"title":"t"}', line, line)), 400, code="repeated_header")


@pytest.mark.parametrize(
    "value", [b"c4n4ry4711", b'"c4n4ry4711', b"\xff", b"W/c4n4ry4711", b'"a" "c4n4ry4711"', b"'1'"]
)
@pytest.mark.parametrize("name", [b"If-Match", b"If-None-Match"])
def test_an_unreadable_precondition_is_refused_without_a_word_of_it(target: Target, name: bytes, value: bytes) -> None:
    created = target.ask(post(b'{"title":"t"}'))
    path = str(created.header("location")).encode()
    method = b"DELETE" if name == b"If-Match" else b"GET"

    answer = target.ask(request(method, path, name + b": " + value + b"\r\n"))

    problem_in(answer, 400, code="malformed_header")


@pytest.mark.parametrize(
    "key", [b"", b" ", b'"c4n4ry4711', b"c4n4ry4711 b", b'""', b"\xe9", b"c4n4ry4711," + b"x" * 255]
)
def test_an_idempotency_key_that_is_none_is_refused_without_a_word_of_it(target: Target, key: bytes) -> None:
    answer = target.ask(post(b'{"title":"t"}', b"Idempotency-Key: " + key + b"\r\n"))

    problem_in(answer, 400, code="malformed_header")


@pytest.mark.parametrize("number", [10, 100, 1000])
def test_many_headers_within_the_bound_are_read(target: Target, number: int) -> None:
    assert target.ask(request(b"GET", b"/livez", *(b"X-%d: a\r\n" % index for index in range(number)))).status == 200


TOO_LARGE = {
    "one header of 64 KiB": request(b"GET", b"/livez", b"X-Long: " + CANARY_BYTES + b"x" * 65_536 + b"\r\n"),
    "ten thousand headers": request(b"GET", b"/livez", *(b"X-%d: a\r\n" % index for index in range(10_000))),
    "one header ten thousand times": request(b"GET", b"/livez", b"X-Same: a\r\n" * 10_000),
    "a target of 64 KiB": request(b"GET", b"/tasks?q=" + CANARY_BYTES + b"x" * 65_536),
    "cookies of 64 KiB": request(b"GET", b"/tasks", b"Cookie: a=" + CANARY_BYTES * 6_600 + b"\r\n"),
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_head_that_is_too_large_is_refused_as_it_comes_in(target: Target, data: bytes) -> None:
    pieces = [data[place : place + 8192] for place in range(0, len(data), 8192)]

    problem_in(target.ask(*pieces, pause_s=0.02), 431, code="head_too_large")


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_head_that_is_too_large_is_refused_when_it_comes_at_once(target: Target, data: bytes) -> None:
    problem_in(target.ask(data), 431, code="head_too_large")


def test_a_refusal_of_the_server_has_the_headers_of_every_answer(target: Target) -> None:
    assert has_its_headers(target.ask(b"nonsense\r\n\r\n"))


def test_every_other_refusal_has_the_headers_of_every_answer(target: Target) -> None:
    for data in (
        request(b"GET", b"/nowhere"),
        request(b"TRACE", b"/tasks"),
        request(b"GET", b"/tasks?limit=0"),
        post(b"{"),
        post(b" " * 70_000),
        request(b"POST", b"/tasks", body=b""),
    ):
        assert has_its_headers(target.ask(data))


def test_blank_lines_before_a_request_are_skipped(target: Target) -> None:
    assert [
        answer.status for answer in answers_in(converse(target.port, b"\r\n\r\n" + request(b"GET", b"/livez")))
    ] == [200]
