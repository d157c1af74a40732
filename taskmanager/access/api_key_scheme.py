"""How the documentation shows that a route needs a key. The front door reads the same declaration and checks it."""

from __future__ import annotations

from typing import Any

from fastapi import Security
from fastapi.security import HTTPBearer

SCHEME = HTTPBearer(
    scheme_name="ApiKey",
    bearerFormat="tm_<id>_<secret>",
    description="An API key, made by `taskmanager keys new`. Not asked for where TASKMANAGER_AUTH=none.",
    auto_error=False,
)


def needs(scope: str) -> Any:
    """A route's dependency on a key with this scope: `dependencies=[needs(TASKS_READ)]`."""
    return Security(SCHEME, scopes=[scope])
