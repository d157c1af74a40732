"""What every error of the service must look like."""

from __future__ import annotations

from typing import Any

import httpx

MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id"}


def problem_of(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem that a response holds, once its form is proven."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem.keys() >= MEMBERS
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{problem['code']}"
    assert all(isinstance(problem[member], str) and problem[member] for member in MEMBERS - {"status"})
    assert problem["request_id"] == response.headers["x-request-id"]
    if code is not None:
        assert problem["code"] == code
    return problem


def pointers_of(response: httpx.Response) -> list[str]:
    """Where a refused request is at fault; each fault is complete."""
    errors = problem_of(response, 422, "invalid_request")["errors"]
    assert errors
    assert all(error.keys() == {"pointer", "detail", "code"} and error["detail"] for error in errors)
    return [error["pointer"] for error in errors]
