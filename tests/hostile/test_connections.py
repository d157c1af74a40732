"""Connections that are used in every way but the usual one."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.databases import Database
from tests.hostile.conftest import Target
from tests.hostile.problem_schema import problem_in
from tests.hostile.wire import CANARY, CANARY_BYTES, HOST, JSON, answers_in, converse, post, request
from tests.processes import Service

Serve = Callable[..., Service]

BODY = b'{"title":"connected"}'
KEPT = b"POST /tasks HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LAST = request(b"GET", b"/livez")


def test_a_thousand_requests_at_once_are_answered_in_order(target: Target) -> None:
    many = b"".join(b"GET /tasks/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (10**12 + number) for number in range(1000))

    *answers, last = answers_in(converse(target.port, many + LAST, within_s=60))

    assert [json.loads(answer.body)["instance"] for answer in answers] == [f"/tasks/{10**12 + n}" for n in range(1000)]
    assert last.status == 200


def test_requests_and_refusals_mix_on_one_connection(target: Target) -> None:
    sent = [
        (KEPT, 201),
        (KEPT.replace(b"connected", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 400),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"PUT /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 415),
        (b"OPTIONS /tasks HTTP/1.1\r\nHost: x\r\n\r\n", 204),
        (b"DELETE /tasks/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n", 422),
        (KEPT, 201),
    ]
    order = sent * 5
    random.Random(5).shuffle(order)  # noqa: S311  the same order every time

    answers = answers_in(converse(target.port, b"".join(data for data, _ in order) + LAST))

    assert [answer.status for answer in answers] == [status for _, status in order] + [200]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_where_the_network_cuts_a_request_does_not_matter(target: Target, size: int) -> None:
    data = KEPT + KEPT.replace(b"Content-Length: 21", b"Transfer-Encoding: chunked").replace(
        BODY, b"15\r\n%s\r\n0\r\n\r\n" % BODY
    )
    data += b"GET /tasks/x HTTP/1.1\r\n" + HOST + b"\r\n" + LAST
    pieces = [data[place : place + size] for place in range(0, len(data), size)]

    answers = answers_in(converse(target.port, *pieces, pause_s=0.001))

    assert [answer.status for answer in answers] == [201, 201, 422, 200]


NONSENSE = b"\x00" + CANARY_BYTES + b"\r\n\r\n"


@pytest.mark.parametrize("before", [KEPT, KEPT * 3, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 2])
def test_nonsense_behind_requests_takes_no_answer_from_them(target: Target, before: bytes) -> None:
    """A client that reads 400 for a task that was made makes it again."""
    made_before = target.titles("connected")

    answers = answers_in(converse(target.port, before + NONSENSE))

    expected = [201] * before.count(b"POST") + [404] * before.count(b"GET")
    assert [answer.status for answer in answers[: len(expected)]] == expected
    assert all(answer.status == 400 for answer in answers[len(expected) :])
    assert target.titles("connected") - made_before == before.count(b"POST")


@pytest.mark.parametrize("place", [1, 10, 30, 60, len(KEPT) - len(BODY), len(KEPT) - 1])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_early_leaves_nothing_behind(target: Target, place: int, reset: bool) -> None:
    before = target.titles("connected")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", target.port)) as connection:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall(KEPT[:place])

    assert target.titles("connected") == before


def test_a_client_that_leaves_before_its_answer_may_have_been_served_and_hurts_nobody(target: Target) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", target.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.sendall(KEPT)
    assert target.ask(LAST).status == 200


def test_a_client_that_has_said_all_gets_every_answer(target: Target) -> None:
    answers = answers_in(converse(target.port, KEPT * 3, end=True))

    assert [answer.status for answer in answers] == [201, 201, 201]


EXPECT = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (post(BODY, EXPECT), [100, 201]),
        (post(BODY, b"Expect: 100-Continue\r\n"), [100, 201]),
        (post(BODY, b"Expect: c4n4ry4711\r\n"), [201]),
        (post(b"{", EXPECT), [100, 400]),
        (post(BODY, EXPECT, target=b"/nowhere"), [404]),
        (post(BODY, EXPECT, target=b"/livez"), [405]),
        (request(b"POST", b"/tasks", JSON, EXPECT, b"Content-Length: 10000000\r\n"), [413]),
        (request(b"GET", b"/livez", EXPECT), [200]),
        (request(b"TRACE", b"/livez", EXPECT), [405]),
    ],
)
def test_whoever_asks_first_is_told_to_go_on_only_where_the_body_is_wanted(
    target: Target, data: bytes, statuses: list[int]
) -> None:
    assert [answer.status for answer in answers_in(converse(target.port, data))] == statuses


def test_a_body_of_ten_megabytes_is_refused_whoever_announces_it(target: Target) -> None:
    """Over and over, and the memory stays what it was."""
    body = b'{"title":"' + CANARY_BYTES + b"x" * 10_000_000 + b'"}'
    head = b"POST %s HTTP/1.1\r\n" + HOST + JSON
    announced = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    in_one = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    in_many = (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 10_000 + b"0\r\n\r\n"
    )
    del body
    before = target.rss()
    for _ in range(3):
        for data in (announced, in_one, in_many):
            for path, status in ((b"/tasks", 413), (b"/tasks?limit=0", 422), (b"/nowhere", 404), (b"/livez", 405)):
                refused, then = answers_in(converse(target.port, data.replace(b"%s", path, 1) + LAST))
                problem_in(refused, status, 413)
                assert then.status == 200, "the same connection serves on"

    assert target.rss() - before < 40_000_000
    assert target.titles(f"%{CANARY}%") == 0


def test_slow_heads_hold_nobody_up(migrated_database: Database, serve: Serve) -> None:
    """A hundred clients that send a byte now and then: others are served, and the slow ones are sent away."""
    hurried = serve(migrated_database, command=(sys.executable, "-m", "tests.taskmanager.hurried_service", "{port}"))
    hurried.wait_for("/tasks", 200)
    ended = threading.Event()
    told: list[bytes] = []

    def drip(connection: socket.socket) -> None:
        with connection:
            for byte in (b"GET /tasks HTTP/1.1\r\n" + HOST + b"X-Slow: ") + b"x" * 1000:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    break
                if ended.wait(0.1):
                    break
            try:
                told.append(connection.recv(65536))
            except OSError:
                told.append(b"")

    slow = [
        threading.Thread(target=drip, args=(socket.create_connection(("127.0.0.1", hurried.port), timeout=10),))
        for _ in range(100)
    ]
    for thread in slow:
        thread.start()
    for _ in range(20):
        assert hurried.get("/tasks").status_code == 200
        time.sleep(0.05)
    for thread in slow:
        thread.join(timeout=30)
    ended.set()

    assert len(told) == 100
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408 ") for answer in told)
    assert any(told)
    assert "Traceback" not in hurried.log
