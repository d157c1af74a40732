"""The ASGI side: traffic only when the schema is servable.

    app = SchemaGate(app, watcher, mode=Mode.ENFORCE, open_paths={"/health", "/livez"})

The gate clears itself: it asks nothing of the database and holds no state, it reads the watcher's verdict.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from enum import StrEnum
from typing import Any

from migration_gate.status import SchemaStatus, State
from migration_gate.watch import Watcher

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_S = 2

# Of the registry of WebSocket close codes.
TRY_AGAIN_LATER = 1013

TITLES = {
    State.NEVER_MIGRATED: "The database was never migrated",
    State.UNVERSIONED: "The database records no revision",
    State.BEHIND: "The database schema is behind the code",
    State.AHEAD_COMPATIBLE: "The database schema is ahead of the code",
    State.DIVERGED: "The database schema and the code have diverged",
    State.STATEMENT_BROKEN: "A statement of the code cannot run on this database",
    State.PRIVILEGES_MISSING: "The application may not read what it needs",
    State.UNREACHABLE: "The database cannot be reached",
    State.CURRENT: "The database schema is current",
}


class Mode(StrEnum):
    """What the gate does with a verdict that forbids traffic."""

    ENFORCE = "enforce"  # answers 503
    WARN = "warn"  # lets traffic through; probes carry the warning
    OFF = "off"  # lets traffic through; probes say nothing of the schema


def problem(status: SchemaStatus) -> dict[str, Any]:
    """The refusal as RFC 9457 problem details, without `instance` and `request_id`.

    It names revisions and the command, and neither the database nor the role: those are for the log.
    """
    database = ", ".join(status.database_revisions) or "none"
    code = ", ".join(status.code_heads) or "none"
    return {
        "type": f"/problems/{status.state.value}",
        "title": TITLES[status.state],
        "status": 503,
        "detail": f"{status.cause} Database revision: {database}; code head: {code}. Solution: {status.solution}.",
        "code": status.state.value,
        "database_revisions": list(status.database_revisions),
        "code_heads": list(status.code_heads),
        "solution": status.solution,
    }


def _path_within(scope: Scope) -> str:
    """The path without what the application is mounted under (ASGI's root_path)."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or path


class SchemaGate:
    """ASGI middleware that answers 503 in the application's place while the schema is not servable.

    Parameters
    ----------
    app: what is guarded.
    watcher: keeps the verdict.
    mode: see `Mode`.
    open_paths: paths that answer in every state, such as probes and metrics.
    """

    def __init__(self, app: App, watcher: Watcher, mode: Mode, open_paths: Collection[str]) -> None:
        self.app = app
        self._watcher = watcher
        self._enforced = mode is Mode.ENFORCE
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.refuses(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        else:
            await self.refuse(scope, send)

    def refuses(self, scope: Scope) -> bool:
        """Whether this request must not reach the application now."""
        return (
            self._enforced
            and not self._watcher.verdict.servable
            and scope["type"] != "lifespan"
            and _path_within(scope) not in self._open_paths
        )

    async def refuse(self, scope: Scope, send: Send) -> None:
        """Answer 503 in the application's place, telling revisions and the command that mends it."""
        content = problem(self._watcher.verdict.status) | {"instance": scope["path"]}
        if request_id := scope.get("state", {}).get("request_id"):
            content["request_id"] = request_id
        body = json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(RETRY_AFTER_S).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
