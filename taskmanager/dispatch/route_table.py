"""Every route of the application by method and path, so that the front door finds one in two dictionary lookups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from taskmanager.dispatch.direct_route import DirectCall, DirectRoute, compiled


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `scope` is what a caller's key must have, None where no key is asked for. `direct` serves plain requests; None
    where all of them go FastAPI's way.
    """

    scope: str | None
    direct: DirectCall | None


@dataclass(frozen=True, slots=True)
class PathEntry:
    """One path with all of its methods. `path` has its parameter's name in it, as logs and metrics show it."""

    path: str
    operations: dict[str, Operation] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The value of Allow. GET is answered without its body to HEAD, and OPTIONS with this list."""
        methods = {*self.operations, "OPTIONS"} | ({"HEAD"} if "GET" in self.operations else set())
        return ", ".join(sorted(methods))


class RouteTable:
    """Where the front door looks a request up.

    Parameters
    ----------
    app: its routes are final.
    public_paths: those that no key is asked for.

    Raises
    ------
    ValueError: a route names no scope and is not public, or has a path that this table cannot hold. Neither may be
        found out by a request.
    """

    def __init__(self, app: FastAPI, *, public_paths: Collection[str]) -> None:
        self._exact: dict[str, PathEntry] = {}
        self._with_argument: dict[str, PathEntry] = {}
        for route in all_routes(app):
            scope = route.security_scope if isinstance(route, DirectRoute) else None
            if scope is None and route.path not in public_paths:
                raise ValueError(f"{route.path} names no scope and is not public")
            entry = self._entry(route.path)
            direct = compiled(route, app) if isinstance(route, DirectRoute) else None
            operation = Operation(scope, direct)
            for method in route.methods or ():
                if entry.operations.setdefault(method, operation) is not operation:
                    raise ValueError(f"{method} {route.path} is declared twice")
        self._assert_same_answers(app)

    def find(self, path: str) -> tuple[PathEntry | None, str]:
        """The path's entry, and its last segment where that is the route's parameter."""
        entry = self._exact.get(path)
        if entry is not None:
            return entry, ""
        head, _, argument = path.rpartition("/")
        return (self._with_argument.get(head) if argument else None), argument

    @property
    def entries(self) -> Mapping[str, PathEntry]:
        return {entry.path: entry for entry in (*self._exact.values(), *self._with_argument.values())}

    def _entry(self, path: str) -> PathEntry:
        if "{" not in path:
            return self._exact.setdefault(path, PathEntry(path))
        head, _, last = path.rpartition("/")
        if "{" in head or not (last.startswith("{") and last.endswith("}") and ":" not in last):
            raise ValueError(f"{path}: only the last segment of a path may be a parameter")
        return self._with_argument.setdefault(head, PathEntry(path))

    def _assert_same_answers(self, app: FastAPI) -> None:
        """A path that is looked up exactly must be the one that the router, which goes by order, finds too."""
        for path, entry in self._exact.items():
            for method in entry.operations:
                asked = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
                found = next((route for route in all_routes(app) if route.matches(asked)[0] is Match.FULL), None)
                if found is None or found.path != path:
                    raise ValueError(f"{method} {path} is declared behind a route that takes it too")


def all_routes(app: FastAPI) -> Iterator[Route]:
    """The routes of the application, those of included routers among them."""
    yield from _all_routes(app.routes)


def _all_routes(routes: Collection[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from _all_routes(included.routes)


def route_path(scope: Scope) -> str:
    """The path without what the application is mounted under (ASGI's root_path), as routers see it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        return path[len(root) :]
    return path
