"""The API's description: OpenAPI 3.1, as `/openapi.json` tells it and `docs/openapi.json` keeps it.

    python -m taskmanager.documentation.openapi > docs/openapi.json
    python -m taskmanager.documentation.openapi --check docs/openapi.json

It needs no database. The check exits with 1 and names every place that differs, so that no change of the API goes
unseen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
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


def text_of(document: dict[str, Any]) -> str:
    """The document as it is kept: two blanks of indentation, characters as they are, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def differences(kept: Any, made: Any, place: str = "#") -> Iterator[str]:
    """Where two documents differ, as JSON pointers (RFC 6901), each with what is the matter."""
    if isinstance(kept, dict) and isinstance(made, dict):
        for name in dict.fromkeys([*kept, *made]):
            below = f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name not in made:
                yield f"{below}: is no more"
            elif name not in kept:
                yield f"{below}: is new"
            else:
                yield from differences(kept[name], made[name], below)
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for index, (one, other) in enumerate(zip(kept, made, strict=True)):
            yield from differences(one, other, f"{place}/{index}")
    elif type(kept) is not type(made) or kept != made:  # to Python, true is 1
        yield f"{place}: has changed"


def check(file: Path, made: dict[str, Any]) -> list[str]:
    """Why this file is not the description any more; nothing where it is."""
    try:
        text = file.read_text(encoding="utf-8")
        kept = json.loads(text)
    except (OSError, ValueError) as error:
        return [f"cannot be read: {type(error).__name__}"]
    if found := list(differences(kept, made)):
        return found
    return [] if text == text_of(made) else ["#: is written otherwise, in another order or form"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    # Here, since the application imports this module.
    from taskmanager.app import create_app
    from taskmanager.settings import Settings

    parser = argparse.ArgumentParser(
        prog="python -m taskmanager.documentation.openapi", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", metavar="FILE", type=Path, help="compare with this file instead of printing")
    options = parser.parse_args(arguments)
    # Nothing connects before the application's lifespan begins.
    made = create_app(Settings(database_url="postgresql://nobody@localhost/nothing", log_level="error")).openapi()
    if options.check is None:
        sys.stdout.write(text_of(made))
        return 0
    faults = check(options.check, made)
    for fault in faults:
        sys.stderr.write(f"{options.check}: {fault}\n")
    if faults:
        sys.stderr.write(f"Is that meant? Then: python -m taskmanager.documentation.openapi > {options.check}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
