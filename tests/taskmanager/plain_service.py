"""The service without its own dispatch and without its own writes: FastAPI's and uvicorn's, for comparison."""

from __future__ import annotations

import sys

import uvicorn

from taskmanager.app import create_app
from taskmanager.dispatch.exchange import WHOLE_ANSWER
from taskmanager.dispatch.route_table import Operation
from taskmanager.server.http_server import Server


def main() -> None:
    app = create_app()
    front_door = app.state.front_door
    for entry in front_door.routes.entries.values():
        for method, operation in entry.operations.items():
            entry.operations[method] = Operation(operation.scope, None)

    async def in_two_writes(scope, receive, send):  # type: ignore[no-untyped-def]
        scope.get("extensions", {}).pop(WHOLE_ANSWER, None)
        await app(scope, receive, send)

    server = Server(
        in_two_writes,
        refused=front_door.refused_below,
        is_full=lambda: False,
        no_room=lambda *_: None,
        drain=lambda: None,
    )
    server.config.host, server.config.port = "127.0.0.1", int(sys.argv[1])
    assert isinstance(server, uvicorn.Server)
    server.run()


if __name__ == "__main__":
    main()
