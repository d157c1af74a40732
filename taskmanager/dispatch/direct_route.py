"""A FastAPI declaration, dispatched at ASGI's cost: compile or decline.

`DirectRoute` is a FastAPI route like any other: FastAPI analyses the declaration, documents it and can serve it.
Beside that, `compiled` turns a declaration of a few plain kinds of parameters into a `DirectCall`, which serves the
requests that are as plain as the declaration. It never answers with an error of its own making. What it does not
take, a declaration or a single request, goes FastAPI's way, so there is one source of every refusal; a test replays
one corpus of requests both ways. Neither way checks keys: that is the front door's.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import pydantic_core
from fastapi import FastAPI, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Scope

Endpoint = Callable[..., Awaitable[Response]]

# Longer ones, with a cursor say, hardly come twice.
_LONGEST_REMEMBERED_QUERY_BYTES = 128


class FromApplication:
    """A dependency on something that lives as long as the application: `app.state.<name>`."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, request: Request) -> Any:
        return self.of(request.app)

    def of(self, app: FastAPI) -> Any:
        return getattr(app.state, self._name)


class StrictRequest(Request):
    """A request whose JSON is read by the parser that the direct way uses: UTF-8 alone, no NaN, no Infinity."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            return pydantic_core.from_json(body, allow_inf_nan=False)
        except ValueError as error:
            # The message quotes nothing, but the document that FastAPI would keep does.
            raise json.JSONDecodeError(str(error), "", 0) from None


class DirectRoute(APIRoute):
    """A route that takes no parameter that it does not declare, and each once; its JSON is strict."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.endpoint)

        async def strict(request: Request) -> Response:
            _refuse_odd_parameters(request, known)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict

    @property
    def security_scope(self) -> str | None:
        """The scope that a caller's key must have, None where the declaration names none."""
        for dependency in self.dependencies:
            if isinstance(dependency, params.Security) and dependency.scopes:
                return str(dependency.scopes[0])
        return None


def _query_names(endpoint: Endpoint) -> frozenset[str]:
    for annotation, metadata in _parameters(endpoint).values():
        if isinstance(metadata, params.Query):
            return frozenset(annotation.model_fields)
    return frozenset()


def _refuse_odd_parameters(request: Request, known: frozenset[str]) -> None:
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    faults = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": ""}
        for name in dict.fromkeys(names)
        if name not in known
    ] + [
        {"type": "repeated_parameter", "loc": ("query", name), "msg": "This parameter may be given once"}
        for name in sorted(known)
        if names.count(name) > 1
    ]
    if faults:
        raise RequestValidationError(faults)


class DirectCall:
    """One operation, ready to be called.

    Parameters
    ----------
    endpoint: the function that FastAPI would call.
    constants: its arguments that are the same for every request.
    path: the name of its parameter in the path's last segment, and that parameter's validator.
    query: the name of its parameter with the query's model, and that model.
    headers: its parameters that are headers: their names here and, in lower case, there.
    body: the name of its parameter with the body's model, and that model.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        constants: Mapping[str, Any],
        path: tuple[str, TypeAdapter[Any]] | None,
        query: tuple[str, type[BaseModel]] | None,
        headers: tuple[tuple[str, bytes], ...],
        body: tuple[str, type[BaseModel]] | None,
    ) -> None:
        self._endpoint = endpoint
        self._constants = dict(constants)
        self._headers = headers
        self._path_name, path_type = path or ("", None)
        self._query_name, query_model = query or ("", None)
        self._body_name, body_model = body or ("", None)
        self._read_path = path_type.validator.validate_python if path_type is not None else None
        self._read_query = _query_reader(query_model) if query_model is not None else None
        self._read_body = body_model.__pydantic_validator__.validate_json if body_model is not None else None

    async def __call__(
        self, scope: Scope, headers: Mapping[bytes, bytes], argument: str, content: bytes | None
    ) -> Response | None:
        """Serve the request, or return None to decline it: nothing was done.

        Parameters
        ----------
        scope: ASGI's.
        headers: the request's, names in lower case, none of them repeated.
        argument: the path's last segment, decoded, where the route has a parameter there.
        content: the body, None where there is none.
        """
        arguments = self._constants.copy()
        try:
            if self._read_path is not None:
                arguments[self._path_name] = self._read_path(argument)
            query = scope["query_string"]
            if self._read_query is not None:
                parameters = self._read_query(query)
                if parameters is None:
                    return None
                arguments[self._query_name] = parameters
            elif query:
                return None
            for name, header in self._headers:
                if header in headers:
                    arguments[name] = headers[header].decode("latin-1")
            if self._read_body is not None:
                if content is None or headers.get(b"content-type") not in _PLAIN_MEDIA_TYPES:
                    return None
                # Pydantic takes both for JSON, in a member that another of the same name replaces.
                if b"NaN" in content or b"Infinity" in content:
                    return None
                arguments[self._body_name] = self._read_body(content)
        except ValidationError:
            return None
        return await self._endpoint(**arguments)


_PLAIN_MEDIA_TYPES = frozenset({b"application/json", b"application/merge-patch+json"})


def _query_reader(model: type[BaseModel]) -> Callable[[bytes], BaseModel | None]:
    """The model of a query string, or None where it is not valid. The same query is read once."""
    validate = model.__pydantic_validator__.validate_python

    def read(query: bytes) -> BaseModel | None:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        values = dict(pairs)
        if len(values) != len(pairs):
            return None
        try:
            value: BaseModel = validate(values)
        except ValidationError:
            return None
        return value

    remembered = lru_cache(maxsize=256)(read)
    return lambda query: remembered(query) if len(query) <= _LONGEST_REMEMBERED_QUERY_BYTES else read(query)


def compiled(route: DirectRoute, app: FastAPI) -> DirectCall | None:
    """The route's direct call, or None where its declaration asks for more than is understood here."""
    if not inspect.iscoroutinefunction(route.endpoint) or not _answers_at_once(route.endpoint):
        return None
    if not all(isinstance(dependency.dependency, SecurityBase) for dependency in route.dependencies):
        return None
    constants: dict[str, Any] = {}
    path: tuple[str, TypeAdapter[Any]] | None = None
    query: tuple[str, type[BaseModel]] | None = None
    body: tuple[str, type[BaseModel]] | None = None
    headers: list[tuple[str, bytes]] = []
    for name, (annotation, metadata) in _parameters(route.endpoint).items():
        match metadata:
            case params.Depends(dependency=FromApplication() as dependency):
                constants[name] = dependency.of(app)
            case params.Path() if path is None and route.path.endswith(f"/{{{name}}}"):
                path_type: Any = typing.Annotated[annotation, metadata]
                path = name, TypeAdapter(path_type)
            case params.Query() if query is None and _is_model(annotation):
                query = name, annotation
            case params.Header() if annotation == str | None and metadata.alias:
                headers.append((name, metadata.alias.lower().encode()))
            case None if body is None and _is_model(annotation):
                body = name, annotation
            case _:
                return None
    if "{" in route.path and path is None:
        return None
    return DirectCall(
        route.endpoint,
        constants=constants,
        path=path,
        query=query,
        headers=tuple(headers),
        body=body,
    )


def _parameters(endpoint: Endpoint) -> dict[str, tuple[Any, Any]]:
    """Each parameter's type and FastAPI's word on it, None where there is none."""
    hints = typing.get_type_hints(endpoint, include_extras=True)
    found = {}
    for name in inspect.signature(endpoint).parameters:
        annotation, metadata = hints[name], None
        if typing.get_origin(annotation) is typing.Annotated:
            rest: list[Any] = []
            for item in annotation.__metadata__:
                if isinstance(item, params.Param | params.Body | params.Depends):
                    metadata = item
                else:
                    rest.append(item)
            annotation = annotation.__origin__
            if rest:
                annotation = typing.Annotated[(annotation, *rest)]
        found[name] = (annotation, metadata)
    return found


def _answers_at_once(endpoint: Endpoint) -> bool:
    """Does it say that it returns an answer that is all there: no stream, no file, nothing to be made an answer of?"""
    returned = typing.get_type_hints(endpoint).get("return")
    return (
        isinstance(returned, type)
        and issubclass(returned, Response)
        and not issubclass(returned, StreamingResponse | FileResponse)
    )


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
