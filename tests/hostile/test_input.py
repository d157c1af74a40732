"""Hostile values in every field and every parameter: refused without a word of them, or kept exactly."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.hostile.conftest import Target
from tests.hostile.problem_schema import problem_in
from tests.hostile.wire import CANARY, JSON, chunked, in_chunks, post, request

C = CANARY.encode()

REFUSED_BODIES = {
    "cut off in the middle of a text": (b'{"title":"' + C, 400),
    "cut off in the middle of an escape": (b'{"title":"' + C + b"\\u12", 400),
    "cut off in the middle of a character": (b'{"title":"' + C + b'\xf0\x9f\x9a"}', 400),
    "a character of five bytes": (b'{"title":"' + C + b'\xf8\x88\x80\x80\x80"}', 400),
    "a surrogate as UTF-8": (b'{"title":"' + C + b'\xed\xa0\x80"}', 400),
    "overlong NUL": (b'{"title":"' + C + b'\xc0\x80"}', 400),
    "an overlong quote": (b'{"title":"' + C + b'\xc0\xa2"}', 400),
    "beyond Unicode": (b'{"title":"' + C + b'\xf4\x90\x80\x80"}', 400),
    "surrogates the wrong way round": (b'{"title":"' + C + b'\\udc00\\ud800"}', 400),
    "NUL as it is": (b'{"title":"' + C + b'\x00"}', 400),
    "NUL, escaped": (b'{"title":"' + C + b'\\u0000"}', 422),
    "NUL in a name": (b'{"title":"t","' + C + b'\\u0000":1}', 422),
    "NUL in a tag": (b'{"title":"t","tags":["' + C + b'\\u0000"]}', 422),
    "a line break as it is": (b'{"title":"' + C + b'\n"}', 400),
    "a comment": (b'{"title":"t"} // ' + C, 400),
    "two documents": (b'{"title":"t"}{"title":"' + C + b'"}', 400),
    "JSON text sequences": (b'\x1e{"title":"' + C + b'"}\n', 400),
    "a name without quotes": (b'{title:"' + C + b'"}', 400),
    "NaN": (b'{"title":"t","' + C + b'":NaN}', 400),
    "minus Infinity in a list": (b'{"title":"' + C + b'","tags":[-Infinity]}', 400),
    "a number with a leading zero": (b'{"title":"' + C + b'","priority":01}', 400),
    "a thousand levels": (b'{"title":' + b"[" * 1000 + b'"' + C + b'"' + b"]" * 1000 + b"}", 400),
    "ten thousand levels of objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "a number of ten thousand digits": (b'{"title":"' + C + b'","priority":' + b"9" * 10_000 + b"}", 400),
    "an exponent of ten digits": (b'{"title":"' + C + b'","priority":1e9999999999}', 422),
    "ten thousand fields": (b'{"title":"t",' + b",".join(b'"f%d":1' % n for n in range(5000)) + b"}", 422),
    "a name of a kibibyte": (b'{"title":"t","' + C + b"x" * 1024 + b'":1}', 422),
    "a name that is a path": (b'{"title":"t","../' + C + b'/~1#":1}', 422),
    "names of the language": (b'{"title":"t","__proto__":{"' + C + b'":1},"constructor":1,"__class__":1}', 422),
    "an id": (b'{"title":"' + C + b'","id":9223372036854775808}', 422),
    "a version": (b'{"title":"' + C + b'","version":-1}', 422),
    "a title of other kinds": (b'{"title":["' + C + b'"]}', 422),
    "a title of blanks": ('{"title":"\u00a0\u2003\u3000 \\t"}'.encode(), 422),
    "a status in capitals": (b'{"title":"' + C + b'","status":"DONE"}', 422),
    "a status that is SQL": (b'{"title":"t","status":"done\' OR 1=1 --' + C + b'"}', 422),
    "a priority as a number": (b'{"title":"' + C + b'","priority":3}', 422),
    "a time of Arabic digits": ('{"title":"t","due_at":"\u0662\u0660\u0662\u0666-01-01T00:00Z"}'.encode(), 422),
    "a time without an offset": (b'{"title":"' + C + b'","due_at":"2026-12-31T18:00:00"}', 422),
    "a time that PostgreSQL knows": (b'{"title":"' + C + b'","due_at":"infinity"}', 422),
    "a leap second": (b'{"title":"' + C + b'","due_at":"2016-12-31T23:59:60Z"}', 422),
    "the 30th of February": (b'{"title":"' + C + b'","due_at":"2026-02-30T00:00:00Z"}', 422),
    "tags that are text": (b'{"title":"t","tags":"' + C + b'"}', 422),
    "tags that are an object": (b'{"title":"t","tags":{"0":"' + C + b'"}}', 422),
    "a tag of 51 characters": (b'{"title":"t","tags":["' + b"\xc3\xa9" * 51 + b'"]}', 422),
    "the same tag but for blanks": (b'{"title":"t","tags":["' + C + b'"," ' + C + b' "]}', 422),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status"), REFUSED_BODIES.values(), ids=REFUSED_BODIES.keys())
def test_a_body_that_is_no_task_is_refused_without_a_word_of_it(target: Target, body: bytes, status: int) -> None:
    stored = target.titles("%")

    problem_in(target.ask(post(body)), status)
    problem_in(target.ask(chunked(in_chunks([body[:7], body[7:8], body[8:]]))), status)
    problem_in(target.ask(post(body, target=b"/tasks/9223372036854775807", method=b"PUT")), status)

    assert target.titles("%") == stored


def test_a_body_with_any_byte_of_it_replaced_is_stored_or_refused(target: Target) -> None:
    body = b'{"title":"t","description":"\xc3\xa9\\u00e9","status":"done","tags":["a"],"due_at":"2026-12-31T18:00:00Z"}'
    for place in range(len(body)):
        for byte in (0x00, 0x22, 0x5C, 0x80, 0xFF, body[place] ^ 0x20):
            answer = target.ask(post(body[:place] + bytes([byte]) + body[place + 1 :]))
            if answer.status != 201:
                problem_in(answer, 400, 422)


NUMBERS = [b"0", b"-1", b"-0", b"00", b"01", b"1.0", b"1e0", b"0x1", b"+1", b"%2B1", b"%201", b"1%20", b"1_0",
           b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809", b"9" * 5000, b"%D9%A1",
           b"%EF%BC%91", b"%C2%B2", b"%E2%91%A0", b"%00", b"1%00", b"%FF", b"NaN", b"null", b"true", b"1%0A",
           b"1%0D%0Ax", b"%F0%9D%9F%8F", b"1,2", b"1;2", b"c4n4ry4711"]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number[:20]))
def test_an_id_that_is_none_is_refused_by_every_operation(target: Target, number: bytes) -> None:
    for method in (b"GET", b"DELETE", b"PUT", b"PATCH"):
        body = b'{"title":"t"}' if method in (b"PUT", b"PATCH") else b""
        answer = target.ask(post(body, target=b"/tasks/" + number, method=method))
        problem_in(answer, 422)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number[:20]))
def test_a_limit_that_is_none_is_refused(target: Target, number: bytes) -> None:
    problem_in(target.ask(request(b"GET", b"/tasks?limit=" + number)), 422)


SQL = [
    "'; DROP TABLE tasks; --",
    "c4n4ry4711' OR '1'='1",
    'x" OR 1=1; --',
    "$1",
    "$$; SELECT pg_sleep(10); $$",
    "%(title)s %s {0} ${jndi:ldap://x}",
    "') UNION SELECT version() --",
    "\\'; COPY tasks TO PROGRAM 'true'; --",
    "{NULL}",
    "NULL",
    "ARRAY[1]",
    "x & | ! <-> ( ) : *",
    "%' AND 1=CAST(version() AS int) --",
]
PARAMETERS = ["limit", "cursor", "sort", "status", "priority", "due_after", "due_before", "updated_since", "tag", "q"]


@pytest.mark.parametrize("text", SQL)
def test_sql_in_a_field_is_text(target: Target, text: str) -> None:
    content = {"title": text, "description": text, "tags": [text[:50]]}
    created = target.ask(post(json.dumps(content).encode()))
    assert created.status == 201
    path = str(created.header("location")).encode()
    for field in ("title", "description"):
        patched = target.ask(post(json.dumps({field: text + "!"}).encode(), target=path, method=b"PATCH"))
        assert json.loads(patched.body)[field] == text + "!"
    for field in ("status", "priority", "due_at"):
        problem_in(target.ask(post(json.dumps({field: text}).encode(), target=path, method=b"PATCH")), 422)
    assert json.loads(target.ask(request(b"GET", path)).body)["tags"] == [text[:50]]
    assert target.ask(request(b"DELETE", path)).status == 204


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_sql_in_a_parameter_is_text_or_refused(target: Target, parameter: str) -> None:
    for text in SQL:
        answer = target.ask(request(b"GET", f"/tasks?{parameter}={quote(text[:50])}".encode()))
        if parameter in {"tag", "q"} and answer.status == 200:
            continue
        problem_in(answer, 422)
    for name in (f"{parameter}[]", f"{parameter}'--c4n4ry4711", f"{parameter}%00", parameter.upper()):
        problem_in(target.ask(request(b"GET", f"/tasks?{quote(name, safe='%')}=1".encode())), 422)


@pytest.mark.parametrize(
    "value", ["%00", "%FF", "%ED%A0%80", "%C0%80", "", "x" * 2000, "%0D%0AX-Canary:c4n4ry4711", "%u0041"]
)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_bytes_that_are_no_text_in_a_parameter_are_refused_or_found_nowhere(
    target: Target, parameter: str, value: str
) -> None:
    answer = target.ask(request(b"GET", f"/tasks?{parameter}={value}".encode()))

    assert answer.header("x-canary") is None
    if answer.status == 200:
        assert parameter in {"tag", "q"}
        assert answer.body == b"[]"
    else:
        problem_in(answer, 422)


def test_a_parameter_that_is_given_often_is_told_once(target: Target) -> None:
    answer = target.ask(request(b"GET", b"/tasks?" + b"limit=1&" * 3000))

    assert len(problem_in(answer, 422)["errors"]) == 1


def test_thousands_of_unknown_parameters_are_told_of_a_hundred(target: Target) -> None:
    answer = target.ask(request(b"GET", b"/tasks?" + b"&".join(b"p%d=c4n4ry4711" % n for n in range(1500))))

    assert len(problem_in(answer, 422)["errors"]) == 100


MEDIA_TYPES = [b"application/json;charset=utf-16", b"application/json\xff", b"application/jsonx", b"text/c4n4ry4711",
               b"application/json, text/html", b"multipart/form-data; boundary=c4n4ry4711"]  # fmt: skip


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_what_does_not_say_that_it_is_json_is_read_as_json_or_refused(target: Target, media_type: bytes) -> None:
    body = b'{"title":"typed"}'
    length = b"Content-Length: %d\r\n" % len(body)

    answer = target.ask(request(b"POST", b"/tasks", b"Content-Type: " + media_type + b"\r\n", length, body=body))

    if answer.status != 201:
        problem_in(answer, 415)


def test_what_is_compressed_is_not_read(target: Target) -> None:
    answer = target.ask(request(b"POST", b"/tasks", JSON, b"Content-Encoding: gzip\r\nContent-Length: 20\r\n",
                                body=b"\x1f\x8b\x08" + b"\x00" * 17))  # fmt: skip

    problem_in(answer, 400, 415)
