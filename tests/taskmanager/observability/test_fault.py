"""Which fault an exception is, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import asyncpg

from taskmanager.observability import fault
from taskmanager.observability.fault import exceptions, fingerprint

CANARY = "canary4711"


def caught(act: Callable[[], object]) -> Exception:
    try:
        act()
    except Exception as error:  # noqa: BLE001  it is what the test is about
        return error
    raise AssertionError("it did not raise")


def one(value: str) -> None:
    raise ValueError(value)


def another(value: str) -> None:
    raise ValueError(value)


def test_a_value_makes_no_other_fault_and_a_place_a_type_and_a_code_do() -> None:
    first = fingerprint(caught(lambda: one("a")), "code")

    assert first == ("builtins.ValueError", "-", "code", "test_fault.one")
    assert first == fingerprint(caught(lambda: one(CANARY)), "code")
    assert first != fingerprint(caught(lambda: another("a")), "code")
    assert first != fingerprint(caught(lambda: one("a")))
    assert first != fingerprint(caught(lambda: int("a")), "code")


def test_postgresqls_code_is_part_of_it_through_a_wrapper_too() -> None:
    def wrapped(error: Exception) -> None:
        try:
            raise error
        except asyncpg.PostgresError as cause:
            raise RuntimeError("no") from cause

    missing = fingerprint(caught(lambda: wrapped(asyncpg.UndefinedTableError("x"))))
    refused = fingerprint(caught(lambda: wrapped(asyncpg.InsufficientPrivilegeError("x"))))

    assert (missing[1], refused[1]) == ("42P01", "42501")
    assert missing[0] == refused[0] == "builtins.RuntimeError"


def test_libraries_and_what_all_pass_through_are_not_where_a_fault_began() -> None:
    place = fingerprint(caught(lambda: json.loads(CANARY)))[3]

    assert place == "test_fault.test_libraries_and_what_all_pass_through_are_not_where_a_fault_began.<locals>.<lambda>"
    assert fault.is_own("taskmanager.tasks.routes", json.__file__)
    assert not fault.is_own("json", json.__file__)
    assert not fault.is_own("importlib._bootstrap", "<frozen importlib._bootstrap>")


def test_a_group_and_a_chain_are_told_oldest_first_and_without_a_value() -> None:
    def act() -> None:
        try:
            one(CANARY)
        except ValueError as error:
            raise ExceptionGroup(CANARY, [KeyError(CANARY), error]) from error

    told = exceptions(caught(act))

    assert [each["type"] for each in told] == ["KeyError", "ValueError", "ExceptionGroup"]
    assert told[1]["stacktrace"]["frames"][-1]["vars"] == {"value": "<str>"}
    values = [frame.get("vars") for each in told for frame in each.get("stacktrace", {}).get("frames", ())]
    assert CANARY not in json.dumps([values, [each["value"] for each in told]])


def test_exceptions_that_came_from_each_other_come_to_an_end() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    assert len(exceptions(first)) == 2


def test_an_endless_recursion_is_told_by_its_beginning_and_its_end() -> None:
    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    (told,) = exceptions(caught(lambda: deeper(0)))

    frames = told["stacktrace"]["frames"]
    assert told["type"] == "RecursionError"
    assert len(frames) == 50
    assert frames[0]["function"] == "caught"
    assert frames[-1]["vars"] == {"depth": "<int>", "deeper": "<function>"}


def test_a_frame_says_where_it_is_and_nothing_of_the_machine() -> None:
    (told,) = exceptions(caught(lambda: one("x")))

    frame = told["stacktrace"]["frames"][-1]
    assert frame["filename"].endswith("test_fault.py")
    assert not frame["filename"].startswith("/")
    assert frame["context_line"].strip() == "raise ValueError(value)"
    assert len(frame["pre_context"]) == len(frame["post_context"]) == 5
