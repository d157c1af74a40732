"""Where a request ends: every shape by which one request has been smuggled past a proxy inside another."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Target
from tests.hostile.problem_schema import problem_in
from tests.hostile.wire import CANARY, CANARY_BYTES, HOST, JSON, answers_in, chunked, converse, in_chunks, request

# What must never be taken for a request of its own.
HIDDEN = b"POST /tasks HTTP/1.1\r\n" + HOST + JSON + b'Content-Length: 22\r\n\r\n{"title":"c4n4ry4711"}'
BODY = b'{"title":"framed"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = in_chunks([BODY])

POST = b"POST /tasks HTTP/1.1\r\n" + HOST + JSON

AMBIGUOUS = {
    "CL.TE": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "TE.CL": POST + CHUNKED + b"Content-Length: 4\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "TE.CL with a length of nothing": POST + CHUNKED + b"Content-Length: 0\r\n\r\n" + CHUNKS + HIDDEN,
    "two lengths that differ": POST + LENGTH + b"Content-Length: 0\r\n\r\n" + BODY + HIDDEN,
    "two lengths that agree": POST + LENGTH * 2 + b"\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 18, 18\r\n\r\n" + BODY,
    "CL, a blank before the colon": POST + b"Content-Length : 18\r\n\r\n" + BODY,
    "TE, a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    "TE on a folded line": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "TE after a folded line": POST + b"X-Fold: a\r\n Transfer-Encoding: chunked\r\n\r\n" + CHUNKS + HIDDEN,
    "TE behind a bare LF": POST + b"X-Bare: a\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + HIDDEN,
    "TE behind a bare CR": POST + b"X-Bare: a\rTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + HIDDEN,
    "TE twice": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "TE twice, the last one counts": POST + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "lines that end with LF alone": (POST + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
}

LENGTHS = [b"+18", b"-1", b"-0", b"0x12", b"1_8", b"1 8", b"18;", b'"18"', b"18.0", b"1e1", b"", b" ",
           b"\xd9\xa1", b"\xb2", b"18446744073709551616", b"9" * 30, b"18\t;", b"NaN"]  # fmt: skip
CODINGS = [b"gzip", b"identity", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"\x0bchunked", b'"chunked"', b"",
           b"chunked;q=1", b"chunked\t", b"chunked,", b"chun\x00ked", b"\xffchunked", b"chunked\x0b"]  # fmt: skip
CHUNK_FAULTS = {
    "hexadecimal with 0x": b"0x12\r\n%s\r\n0\r\n\r\n" % BODY,
    "a sign": b"+12\r\n%s\r\n0\r\n\r\n" % BODY,
    "negative": b"-1\r\n%s\r\n0\r\n\r\n" % BODY,
    "a blank after the size": b"12 \r\n%s\r\n0\r\n\r\n" % BODY,
    "a blank before the size": b" 12\r\n%s\r\n0\r\n\r\n" % BODY,
    "no size": b"\r\n%s\r\n0\r\n\r\n" % BODY,
    "more than 64 bits": b"1" * 17 + b"\r\n%s\r\n0\r\n\r\n" % BODY,
    "digits of another alphabet": b"\xd9\xa1\xd9\xa8\r\n%s\r\n0\r\n\r\n" % BODY,
    "LF alone": b"12\n%s\n0\n\n" % BODY,
    "CR alone": b"12\r%s\r0\r\r" % BODY,
    "less data than announced": b"13\r\n%s\r\n0\r\n\r\n" % BODY,
    "more data than announced": b"11\r\n%s\r\n0\r\n\r\n" % BODY,
    "LF in an extension": b"12;a\nb\r\n%s\r\n0\r\n\r\n" % BODY,
    "NUL in an extension": b"12;a\x00b\r\n%s\r\n0\r\n\r\n" % BODY,
    "a trailer without a colon": b"12\r\n%s\r\n0\r\nno colon\r\n\r\n" % BODY,
    "a trailer with a length": b"12\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n" % BODY,
}
ODD_BUT_RIGHT = {
    "one chunk": CHUNKS,
    "a chunk for each byte": in_chunks(BODY[place : place + 1] for place in range(len(BODY))),
    "zeros before the size": b"0" * 40 + b"12\r\n%s\r\n0\r\n\r\n" % BODY,
    "an extension": b'12;name=value;quoted="v \\" v"\r\n%s\r\n0;last\r\n\r\n' % BODY,
    "an extension of 60,000 bytes": b"12;" + b"x" * 60_000 + b"\r\n%s\r\n0\r\n\r\n" % BODY,
    "a trailer that nobody knows": b"12\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n" % BODY,
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_request_whose_end_is_ambiguous_is_refused_and_what_hides_in_it_is_not_served(
    target: Target, data: bytes
) -> None:
    answer = target.ask(data)

    problem_in(answer, 400)
    assert answer.header("connection") == "close" or b"identity" in data
    assert target.titles(f"%{CANARY}%") == 0


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_no_number_is_refused(target: Target, length: bytes) -> None:
    problem_in(target.ask(request(b"POST", b"/tasks", JSON, b"Content-Length: " + length + b"\r\n", body=BODY)), 400)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_other_than_chunked_is_refused(target: Target, coding: bytes) -> None:
    answer = target.ask(request(b"POST", b"/tasks", JSON, b"Transfer-Encoding: " + coding + b"\r\n", body=CHUNKS))

    problem_in(answer, 400, 501)


@pytest.mark.parametrize(
    "trailer",
    [
        b"Host: y\r\n",
        b"X-Request-Id: from-a-trailer\r\n",
        b"Idempotency-Key: not a key\r\n",
        b"Content-Type: text/plain\r\n",
        b"Authorization: Basic eA==\r\n" * 2,
    ],
)
def test_a_trailer_is_no_header(target: Target, trailer: bytes) -> None:
    """RFC 9110, section 6.5.1: a proxy that looks at the headers has not seen it."""
    answer = target.ask(chunked(b"12\r\n%s\r\n0\r\n%s\r\n" % (BODY, trailer)))

    assert answer.status == 201
    assert answer.header("x-request-id") != "from-a-trailer"


def test_a_body_without_a_length_is_none_and_what_follows_is_not_read_as_one(target: Target) -> None:
    answer = target.ask(request(b"POST", b"/tasks", JSON, b"Transfer_Encoding: chunked\r\n", body=CHUNKS))

    problem_in(answer, 422)


def test_behind_connection_close_nothing_is_served(target: Target) -> None:
    assert target.ask(request(b"GET", b"/livez") + HIDDEN).status == 200
    assert target.titles(f"%{CANARY}%") == 0


def test_a_refused_body_is_read_to_its_end_and_never_as_a_request(target: Target) -> None:
    for head in (
        POST + b"Content-Length: %d\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n",
    ):
        # As large as the service does not take, and made of requests.
        body = (HIDDEN * 1000)[:80_000]
        stream = converse(target.port, head % len(body) + body + request(b"GET", b"/livez"))
        first, last = answers_in(stream)
        problem_in(first, 413)
        assert last.status == 200
    assert target.titles(f"%{CANARY}%") == 0


def test_the_hidden_request_would_be_found(target: Target) -> None:
    """What the tests above rely on."""
    answers = answers_in(converse(target.port, HIDDEN + request(b"GET", b"/livez")))

    assert [answer.status for answer in answers] == [201, 200]
    assert target.titles(f"%{CANARY}%") == 1
    assert CANARY_BYTES in answers[0].body
    target.database.execute("DELETE FROM tasks WHERE title LIKE '%c4n4ry%'")
