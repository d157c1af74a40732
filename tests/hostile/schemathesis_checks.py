"""Schemathesis's check of valid data, told what no JSON Schema can say of a request.

`positive_data_acceptance` holds that what fits the schema is accepted. Each refusal below depends on more than one
parameter, on what happened before, or on a checksum, and names itself by a stable code; all others count as they do in
the original, which is called first.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import positive_data_acceptance

# Of a problem as a whole.
BEYOND_THE_SCHEMA = {
    "precondition_failed": "whether an If-Match still holds depends on the task",
    "combination_not_served": "which filters go with which sort is a rule between parameters",
    "idempotency_key_reused": "whether a key is new depends on the requests before",
    "query_too_broad": "how many tasks match depends on the tasks",
}
# Of a single fault of an invalid request.
FAULTS_BEYOND_THE_SCHEMA = {
    "damaged_cursor": "a cursor has a checksum",
    "cursor_of_another_list": "a cursor goes with the parameters that it was given out with",
    "no_word": "what is a letter takes Unicode's tables, which patterns of generators do not have",
}
# Of a time that is too early or too late: no keyword that generators know bounds a date-time.
TIMES = {"#/due_at", "due_after", "due_before", "updated_since"}
BOUNDS = {"greater_than_equal", "less_than_equal"}


@schemathesis.check
def valid_requests_are_accepted(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    try:
        return positive_data_acceptance(ctx, response, case)
    except Failure:
        if _is_beyond_the_schema(response, case):
            return None
        raise


def _is_beyond_the_schema(response: schemathesis.Response, case: schemathesis.Case[Any]) -> bool:
    if response.headers.get("content-type") != ["application/problem+json"]:
        return False
    problem = json.loads(response.content)
    if problem["code"] in BEYOND_THE_SCHEMA:
        return True
    faults = problem.get("errors", [])
    return bool(faults) and all(_is_fault_beyond_the_schema(fault, case) for fault in faults)


def _is_fault_beyond_the_schema(fault: dict[str, str], case: schemathesis.Case[Any]) -> bool:
    if fault["code"] == "repeated_tag":
        # They are compared without the blanks around them; those that were sent alike are the schema's to forbid.
        tags: Any = case.body["tags"] if isinstance(case.body, dict) else []
        return len(set(tags)) == len(tags)
    return fault["code"] in FAULTS_BEYOND_THE_SCHEMA or (fault["code"] in BOUNDS and fault["pointer"] in TIMES)
