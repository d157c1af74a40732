"""What every refusal of the service is, as strictly as it can be said."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from typing import Any

import jsonschema_rs

from tests.hostile.wire import CANARY, Answer
from tests.processes import ROOT

# RFC 9457, section 3.1, and what this service promises beyond it.
_TEXT = {"type": "string", "minLength": 1, "pattern": r"^[^\u0000-\u001f\u007f]*$"}
_CODE = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
PROBLEM_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance", "request_id"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "pattern": "^/problems/[a-z][a-z0-9_]*$"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT,
        "code": _CODE,
        # Not by format: it is the decoded path, which may hold what a reference must not.
        "instance": {"type": "string"},
        "request_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
        "errors": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["pointer", "detail", "code"],
                "additionalProperties": False,
                "properties": {
                    "pointer": {"type": "string", "pattern": r"^(#(/[A-Za-z0-9_.?-]+)*|[A-Za-z0-9_.?-]+)$"},
                    "detail": _TEXT,
                    "code": _CODE,
                },
            },
        },
    },
}  # fmt: skip

# The phrases of RFC 9110, which Python's own list has from 3.13 on.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}

_NEEDED_HEADERS = {
    401: "www-authenticate",
    403: "www-authenticate",
    405: "allow",
    503: "retry-after",
}


@cache
def _strict() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(PROBLEM_SCHEMA, validate_formats=True)


@cache
def _published() -> jsonschema_rs.Draft202012Validator:
    """The form that the service's own description tells, and no member beyond it."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    schema = {
        "$ref": "#/components/schemas/Problem",
        "unevaluatedProperties": False,
        "components": document["components"],
    }
    return jsonschema_rs.Draft202012Validator(schema)


def problem_in(answer: Answer, *statuses: int, code: str | None = None) -> dict[str, Any]:
    """The problem that an answer holds, once everything about it is proven.

    Of the input, only two things may come back to whoever sent it: the path, as `instance`, and an X-Request-Id.
    """
    assert answer.status in (statuses or range(400, 500)), answer
    assert answer.header("content-type") == "application/problem+json", answer
    assert answer.header("cache-control") == "no-store", answer
    assert answer.body.isascii()
    problem: dict[str, Any] = json.loads(answer.body)
    faults = [error.message for validator in (_strict(), _published()) for error in validator.iter_errors(problem)]
    assert faults == [], (faults, problem)
    assert problem["status"] == answer.status
    assert problem["title"] == _TITLES.get(answer.status, HTTPStatus(answer.status).phrase)
    assert problem["type"] == f"/problems/{problem['code']}"
    needed = _NEEDED_HEADERS.get(answer.status)
    assert needed is None or answer.header(needed) is not None, answer
    assert code is None or problem["code"] == code, problem
    assert CANARY not in json.dumps(problem | {"instance": ""}), problem
    assert not [header for header in answer.headers if CANARY in header[1]], answer
    return problem


# What the schema gate adds to its refusals, and takes from its title (migration_gate.gate).
_OF_THE_GATE = {"database_revisions": list, "code_heads": list, "solution": str}


def gate_problem_in(answer: Answer) -> dict[str, Any]:
    """The refusal of the schema gate: a problem like the others, with what an operator needs to mend it."""
    problem: dict[str, Any] = json.loads(answer.body)
    faults = [error.message for error in _published().iter_errors(problem)]
    assert faults == [], (faults, problem)
    for member, kind in _OF_THE_GATE.items():
        assert isinstance(problem.pop(member), kind), problem
    assert problem["title"] != HTTPStatus(503).phrase
    plain = json.dumps(problem | {"title": HTTPStatus(503).phrase}).encode()
    return problem_in(Answer(answer.status, answer.headers, plain), 503)


def has_its_headers(answer: Answer) -> bool:
    """What every answer bears: its request id, the one in its problem too, and what keeps a browser from guessing."""
    told = json.loads(answer.body)["request_id"] if answer.status >= 400 and answer.body else None
    request_id = answer.header("x-request-id")
    return request_id in {told or request_id} and answer.header("x-content-type-options") == "nosniff"
