"""Methods, targets and versions of every kind."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Target
from tests.hostile.problem_schema import problem_in
from tests.hostile.wire import CANARY_BYTES, CLOSE, HOST, answers_in, converse, request

KNOWN_ELSEWHERE = [b"TRACE", b"CONNECT", b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK",
                   b"SEARCH", b"QUERY", b"PURGE", b"LINK", b"UNLINK", b"REPORT", b"M-SEARCH", b"SUBSCRIBE"]  # fmt: skip
NO_METHODS = [b"get", b"Get", b"FOO", b"GETX", b"G", b"GET\x00", b"G\x01T", b"G(T", b"\xc3\x84", b"X" * 300, b"",
              b'"GET"', b"c4n4ry4711", b"PRI", b"HTTP/1.1", b"GET\t"]  # fmt: skip


@pytest.mark.parametrize("method", KNOWN_ELSEWHERE)
def test_a_method_that_is_served_nowhere_is_refused_everywhere(target: Target, method: bytes) -> None:
    for path in (b"/tasks", b"/tasks/1", b"/health", b"/metrics", b"/nowhere"):
        answer = target.ask(request(method, path))
        problem_in(answer, 405, code="method_not_allowed")
        if path == b"/tasks":
            assert answer.header("allow") == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("method", NO_METHODS)
def test_what_is_no_method_is_refused(target: Target, method: bytes) -> None:
    problem_in(target.ask(request(method, b"/tasks")), 400, 405)


PATHS = [
    b"/tasks",
    b"/tasks/1",
    b"/health",
    b"/livez",
    b"/readyz",
    b"/version",
    b"/metrics",
    b"/docs",
    b"/openapi.json",
]


@pytest.mark.parametrize("path", PATHS)
def test_each_method_is_served_or_refused_with_what_is_allowed(target: Target, path: bytes) -> None:
    allow = target.ask(request(b"OPTIONS", path)).header("allow")
    assert allow
    for method in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"):
        answer = target.ask(request(method, path))
        if method.decode() in allow.split(", "):
            assert answer.status != 405
        else:
            problem_in(answer, 405, code="method_not_allowed")
            assert answer.header("allow") == allow


@pytest.mark.parametrize(
    "path", [b"/tasks", b"/tasks/0", b"/tasks?limit=0", b"/nowhere", b"/livez", b"/metrics", b"/docs"]
)
def test_head_is_get_without_its_body(target: Target, path: bytes) -> None:
    (head,) = answers_in(converse(target.port, request(b"HEAD", path)), head=True)
    get = target.ask(request(b"GET", path))

    assert head.status == get.status
    assert {name for name, _ in head.headers} == {name for name, _ in get.headers}
    assert head.header("content-type") == get.header("content-type")


TARGETS = {
    "a form that only proxies know": (b"http://c4n4ry4711.example/tasks/9223372036854775807", 404),
    "the same with a port and a user": (b"http://u:c4n4ry4711@h:1/tasks/9223372036854775807", 404),
    "https": (b"https://c4n4ry4711.example/tasks/9223372036854775807", 404),
    "a scheme that is none": (b"c4n4ry4711:/tasks", 400),
    "a file": (b"file:///etc/c4n4ry4711", 400),
    "an authority": (b"c4n4ry4711.example:443", 400),
    "an asterisk": (b"*", 404),
    "no slash": (b"tasks", 400),
    "a query alone": (b"?limit=1", 400),
    "nothing": (b"", 400),
    "a blank within": (b"/ta sks", 400),
    "NUL": (b"/tasks\x00", 400),
    "UTF-8 as it is": ("/tâches".encode(), 400),
    "latin-1": (b"/t\xe2ches", 400),
    "a backslash": (b"\\tasks", 400),
    "a control character": (b"/tasks\x01", 400),
    "the parent": (b"/../tasks", 404),
    "the parent, escaped": (b"/%2e%2e/%2e%2e/etc/passwd", 404),
    "a slash at the end, escaped": (b"/tasks%2F", 404),
    "two slashes": (b"//tasks", 404),
    "a slash at the end": (b"/tasks/", 404),
    "capitals": (b"/TASKS", 404),
    "a path parameter": (b"/tasks;jsessionid=c4n4ry4711", 404),
    "NUL, escaped": (b"/tasks%00", 404),
    "a line break, escaped": (b"/tasks%0d%0aSet-Cookie:%20c4n4ry4711", 404),
    "a lone surrogate": (b"/%ED%A0%80", 404),
    "overlong UTF-8": (b"/%C0%AF", 404),
    "no hexadecimal": (b"/%zz%", 404),
    "wide": (b"/%u0074asks", 404),
    "a script": (b"/<script>c4n4ry4711</script>", 404),
    "a path of 30,000 bytes": (b"/" + b"a" * 30_000, 404),
    "thirty thousand slashes": (b"/" * 30_000, 404),
}


@pytest.mark.parametrize(("of", "status"), TARGETS.values(), ids=TARGETS.keys())
def test_a_target_that_is_none_of_ours_is_refused(target: Target, of: bytes, status: int) -> None:
    answer = target.ask(request(b"GET", of))

    problem_in(answer, status)
    assert answer.header("location") is None
    assert answer.header("set-cookie") is None


def test_a_fragment_is_nothing_to_a_server(target: Target) -> None:
    assert target.ask(request(b"GET", b"/livez#" + CANARY_BYTES)).status in {200, 400}


def test_options_of_the_whole_server_are_told(target: Target) -> None:
    assert target.ask(request(b"OPTIONS", b"*")).status in {200, 204}


def test_http_1_0_is_answered_and_closed(target: Target) -> None:
    for head in (b"GET /livez HTTP/1.0\r\n\r\n", b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"):
        (answer,) = answers_in(converse(target.port, head))
        assert answer.status == 200


VERSIONS = [b"HTTP/1.2", b"HTTP/9.9", b"HTTP/3.0", b"HTTP/1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/-1.1", b"http/1.1",
            b"HTTPS/1.1", b"ICE/1.0", b"HTTP/1.1c4n4ry4711"]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_another_version_is_refused(target: Target, version: bytes) -> None:
    problem_in(target.ask(request(b"GET", b"/livez", version=version)), 400, 505)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /tasks\r\n\r\n",
        request(b"GET", b"/livez", version=b"HTTP/2.0"),
        request(b"GET", b"/livez", version=b"HTTP/0.9"),
        b"GET /livez HTTP/1.1\r\n" + CLOSE + b"\r\n",
    ],
    ids=["HTTP/0.9", "HTTP/2.0 as text", "HTTP/0.9 by its name", "HTTP/1.1 without a host"],
)
def test_what_this_version_of_http_does_not_allow_is_refused(target: Target, data: bytes) -> None:
    problem_in(target.ask(data), 400, 505)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"HELP\r\n",
        b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n",
        b"\x00" * 1000,
        b"\xff" * 1000,
        b"\n" * 10 + b"{}",
        b'{"title":"c4n4ry4711"}\r\n\r\n',
    ],
    ids=["TLS", "HTTP/2", "SSH", "Redis", "SMTP", "an answer", "zeros", "ones", "JSON behind blank lines", "JSON"],
)
def test_another_protocol_is_answered_in_this_one(target: Target, data: bytes) -> None:
    problem_in(target.ask(data), 400, code="malformed_http")
