"""The API's description: OpenAPI 3.1, as `/openapi.json` tells it and `docs/openapi.json` keeps it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from taskmanager.dispatch.route_table import all_routes
from taskmanager.problems import Problem

_DESCRIPTION = """\
Bodies are JSON in UTF-8, of at most 64 KiB. A field or a parameter that is not known is refused and never ignored; of a
field that is given twice the last one counts.

Every error is a problem document (RFC 9457) whose `code` is stable; a 422 names each fault. Every answer has an
`X-Request-Id`, which the log has too; a request may bring its own.

Times are in UTC. A task's version is its `ETag`: with `If-Match` a change is made only to the version that was read,
and with `Idempotency-Key` a task is made once, however often the request is sent.
"""

_TAGS = [
    {"name": "tasks", "description": "Tasks, and everything that can be done with them"},
    {"name": "operations", "description": "For probes, for Prometheus and for whoever operates the service"},
]


def install(app: FastAPI) -> None:
    """Let the application tell this description of itself."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation has it


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application's routes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=app.routes,
        tags=_TAGS,
    )
    for route in all_routes(app):
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = document["paths"][route.path][method.lower()]
            # FastAPI leaves out whatever is null, and with it what an example of a merge patch is about.
            _put(route.openapi_extra or {}, operation)
            for parameter in operation.get("parameters", ()):
                _never_null(parameter["schema"])
    schemas = document["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _put(added: dict[str, Any], into: dict[str, Any]) -> None:
    for name, value in added.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _put(value, into[name])
        else:
            into[name] = value


def _never_null(schema: dict[str, Any]) -> None:
    """A parameter that is left out is None to the handler; what it can be given is never null."""
    values = [value for value in schema.get("anyOf", ()) if value != {"type": "null"}]
    if len(values) == 1:
        del schema["anyOf"]
        schema.update(values[0])
