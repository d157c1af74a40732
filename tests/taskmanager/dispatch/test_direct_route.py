"""Our own dispatch and FastAPI's give the same answers, byte for byte but for what differs each time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from taskmanager.dispatch.direct_route import DirectRoute, compiled
from taskmanager.dispatch.route_table import RouteTable, all_routes
from tests.databases import MIGRATED_TEMPLATE, Server
from tests.processes import Service
from tests.taskmanager.raw_http import exchange
from tests.taskmanager.request_corpus import Sent, corpus

Serve = Callable[..., Service]

_REQUEST_ID = re.compile(rb"[0-9a-f]{32}")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
_DATE = re.compile(rb"date: [^\r]*\r\n")
_CURSOR = re.compile(rb"cursor=[\w-]+")
_COUNTED = re.compile(rb"content-length: \d+\r\n")


def _lasting(answer: bytes, counted: bool) -> bytes:
    """An answer without what differs each time. Headers are sorted: their order has no meaning."""
    for pattern, name in ((_REQUEST_ID, b"ID"), (_TIME, b"TIME"), (_CURSOR, b"CURSOR"), (_DATE, b"")):
        answer = pattern.sub(name, answer)
    if not counted:
        answer = _COUNTED.sub(b"", answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return b"\n".join([status, *sorted(headers), body])


def test_both_ways_answer_one_corpus_alike(server: Server, serve: Serve) -> None:
    plain = (sys.executable, "-m", "tests.taskmanager.plain_service", "{port}")
    differing = []
    statuses: dict[bytes, int] = {}
    with ExitStack() as databases:
        ours = serve(databases.enter_context(server.database(MIGRATED_TEMPLATE)))
        fastapi = serve(databases.enter_context(server.database(MIGRATED_TEMPLATE)), command=plain)
        for service in (ours, fastapi):
            service.wait_for("/tasks", 200)
        for sent in corpus():
            first, second = (_answer(service, sent) for service in (ours, fastapi))
            statuses[first.partition(b"\n")[0]] = statuses.get(first.partition(b"\n")[0], 0) + 1
            if first != second:
                differing.append(f"{sent}\n  ours:    {first[:600]!r}\n  FastAPI: {second[:600]!r}")

    assert not differing, f"{len(differing)} differ\n" + "\n".join(differing[:10])
    # The corpus is worth something: it has met every kind of answer.
    met = {status.split(b" ")[1] for status in statuses}
    assert met >= {b"200", b"201", b"204", b"304", b"400", b"404", b"405", b"412", b"413", b"415", b"422"}, statuses


def _answer(service: Service, sent: Sent) -> bytes:
    # PostgreSQL's times are as long as their microseconds need; /metrics counts what each was asked.
    answer = exchange(service.port, sent.bytes())
    assert answer, f"no answer to {sent}"
    assert not answer.startswith(b"HTTP/1.1 5"), (sent, answer)
    if sent.target == b"/metrics":
        return answer.partition(b"\r\n")[0]
    return _lasting(answer, counted=b"_at" not in answer and sent.method != b"HEAD")


class Body(BaseModel):
    name: str


async def _plain(id: int) -> Response:
    return Response(str(id))


async def _with_cookie(session: str = Cookie()) -> Response:
    return Response(session)


async def _with_dependency(value: str = Depends(lambda: "x")) -> Response:
    return Response(value)


async def _with_two_bodies(one: Body, other: Body) -> Response:
    return Response(one.name + other.name)


async def _streams() -> StreamingResponse:
    return StreamingResponse(iter(()))


async def _returns_a_model() -> Body:
    return Body(name="x")


async def _says_nothing():  # type: ignore[no-untyped-def]
    return Response()


def _blocking(id: int) -> Response:
    return Response(str(id))


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/a/{id}", _plain),  # the parameter is not declared as one of the path
        ("/a", _with_cookie),
        ("/a", _with_dependency),
        ("/a", _with_two_bodies),
        ("/a/{id}", _blocking),
        ("/a", _streams),
        ("/a", _returns_a_model),
        ("/a", _says_nothing),
    ],
)
def test_a_declaration_that_is_not_understood_is_left_to_fastapi(path: str, endpoint: Callable[..., Response]) -> None:
    app = FastAPI(openapi_url=None)
    router = APIRouter(route_class=DirectRoute)
    router.add_api_route(path, endpoint, methods=["POST"])
    app.include_router(router)

    (route,) = (route for route in all_routes(app) if isinstance(route, DirectRoute))

    assert compiled(route, app) is None


def test_every_task_operation_is_compiled(app: FastAPI) -> None:
    table: RouteTable = app.state.front_door.routes

    compiled_operations = {
        (method, entry.path)
        for entry in table.entries.values()
        for method, operation in entry.operations.items()
        if operation.direct is not None
    }

    assert compiled_operations >= {
        ("GET", "/tasks"),
        ("POST", "/tasks"),
        ("GET", "/tasks/{id}"),
        ("PUT", "/tasks/{id}"),
        ("PATCH", "/tasks/{id}"),
        ("DELETE", "/tasks/{id}"),
    }


def test_a_route_that_names_no_scope_is_refused_when_the_table_is_built() -> None:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/secret", _plain)

    with pytest.raises(ValueError, match="/secret names no scope"):
        RouteTable(app, public_paths=frozenset())


@pytest.mark.parametrize(
    "paths",
    [("/a/{x}/b",), ("/a/{x:path}",), ("/a/{x}", "/a/b"), ("/a", "/a")],
    ids=["middle", "path", "behind", "twice"],
)
def test_a_path_that_the_table_would_answer_otherwise_than_the_router_is_refused(paths: tuple[str, ...]) -> None:
    app = FastAPI(openapi_url=None)
    for path in paths:
        app.add_api_route(path, _plain)

    with pytest.raises(ValueError, match="/a"):
        RouteTable(app, public_paths=frozenset(paths))
