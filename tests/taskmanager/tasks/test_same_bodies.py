"""The two ways in which a body is read accept the same bodies, and understand the same.

The direct way validates the bytes; the ordinary way reads them as JSON first, so that every fault can be told.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from taskmanager.tasks.schemas import TaskContent, TaskPatch

many = settings(max_examples=400, deadline=None)

FIELDS = ("title", "description", "status", "priority", "due_at", "tags")
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts,
    st.sampled_from(["todo", "done", "high", "low", "2026-03-31T18:00:00Z", "2026-03-31t18:00:00.5+02:00"]),
    st.lists(texts | st.integers(), max_size=4),
)  # fmt: skip
members = st.tuples(st.sampled_from(FIELDS) | texts, values)
# Member by member, so that names come twice too.
objects = st.lists(members, max_size=6).map(
    lambda pairs: "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}"
)
encoded = st.tuples(
    objects, st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
).map(lambda case: case[0].encode(case[1]))

NASTY = [
    b"",
    b"{}",
    b'{"title":"t"}',
    b' \t\r\n{"title" : "t"}\n',
    b'{"title":"t"}\0',
    b'{"title":"t"}\x0b',
    b'{"title":"t","title":""}',
    b'{"title":"","title":"t"}',
    b'{"title":"t","tags":["a"],"tags":[]}',
    b'{"title":"\\ud800"}',
    b'{"title":"\\ud83d\\ude80"}',
    b'{"title":"\xed\xa0\x80"}',
    b'{"title":"\xc0\x80"}',
    b'{"title":"\\u0000"}',
    b'{"title":"\x7f\xc2\x80"}',
    b'{"title":NaN}',
    b'{"due_at":Infinity,"title":"t"}',
    b'{"due_at":-Infinity,"title":"t"}',
    b'{"title":1e999}',
    b'{"title":-0}',
    b'{"title":9223372036854775808}',
    b'{"title":' + b"9" * 5000 + b"}",
    b'{"title":"t","x":' + b"[" * 150 + b"]" * 150 + b"}",
    b'{"title":' + b"[" * 300 + b"]" * 300 + b"}",
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"\xef\xbb\xbf{}",
    b"null",
    b"[]",
    b'[["title","t"]]',
]


def read(model: type[BaseModel], way: Any, body: bytes) -> Any:
    """What the model understands, with what was sent of it; None where the body is refused."""
    try:
        value = way(model, body)
    except (ValidationError, ValueError):
        return None
    return value, value.model_fields_set


def directly(model: type[BaseModel], body: bytes) -> BaseModel:
    value: BaseModel = model.__pydantic_validator__.validate_json(body)
    return value


def ordinarily(model: type[BaseModel], body: bytes) -> BaseModel:
    return model.model_validate(from_json(body, allow_inf_nan=False))


@pytest.mark.parametrize("model", [TaskContent, TaskPatch])
def test_a_body_is_understood_the_same_both_ways_or_refused_both_ways(model: type[BaseModel]) -> None:
    @many
    @given(encoded | st.binary(max_size=60))
    @example(b'{"title":"t","\\ud800":1}')
    def try_it(body: bytes) -> None:
        assert read(model, directly, body) == read(model, ordinarily, body)

    try_it()
    for body in NASTY:
        assert read(model, directly, body) == read(model, ordinarily, body), body[:60]


def test_of_a_member_that_comes_twice_the_last_one_counts() -> None:
    for way in (directly, ordinarily):
        assert read(TaskContent, way, b'{"title":"a","title":"b"}')[0].title == "b"
        assert read(TaskContent, way, b'{"title":"a","title":""}') is None
