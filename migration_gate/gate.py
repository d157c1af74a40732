"""The ASGI side: traffic only when the schema is servable.

    app.add_middleware(SchemaGate, config="alembic.ini")                   # Starlette, FastAPI
    app = SchemaGate(app, config="alembic.ini")                            # any ASGI application
    app = SchemaGate(app, watcher, mode=Mode.ENFORCE, open_paths={"/livez"})  # with a watcher of one's own

The gate clears itself: it asks nothing of the database, it reads the verdict that a task keeps fresh.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Any

from migration_gate.asgi import App, Receive, Scope, Send
from migration_gate.lifespan import serve_lifespan
from migration_gate.negotiation import prefers_french, prefers_page
from migration_gate.page import PAGE_HEADERS, page, refresh_interval_s
from migration_gate.project_watch import ProjectWatch
from migration_gate.states import RULES
from migration_gate.status import SchemaStatus
from migration_gate.watch import NOT_CHECKED, Verdict, Watcher

RETRY_AFTER_S = 2

# The probe's own patience is a little shorter. Whoever runs no watcher is refused after it.
FIRST_LOOK_WITHIN_S = 1.7

# Of the registry of WebSocket close codes.
TRY_AGAIN_LATER = 1013

# Open unless told otherwise: where a platform asks whether the process lives, which it does in every state, and must
# not be restarted for; and where it is scraped. Readiness is not among them: that a process is not ready while
# the gate refuses is the very answer of a probe on /readyz, and keeps a roll-out from going on.
OPEN_PATHS = frozenset({"/livez", "/live", "/healthz", "/health", "/metrics"})


class Mode(StrEnum):
    """What the gate does with a verdict that forbids traffic."""

    ENFORCE = "enforce"  # answers 503
    WARN = "warn"  # lets traffic through; the log and probes carry the warning
    OFF = "off"  # lets traffic through; probes say nothing of the schema, and with `config` nothing is watched


def problem(status: SchemaStatus) -> dict[str, Any]:
    """The refusal as RFC 9457 problem details, without `instance` and `request_id`.

    It names revisions and the command, and neither the database nor the role: those are for the log.
    """
    database = ", ".join(status.database_revisions) or "none"
    code = ", ".join(status.code_heads) or "none"
    return {
        "type": f"/problems/{status.state.value}",
        "title": RULES[status.state].title,
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

    A client gets problem+json, a browser a page that gives way by itself; both carry Retry-After.

    Parameters
    ----------
    app: what is guarded.
    watcher: keeps the verdict, and is run by the caller. Give either this or `config`. Until its first look at the
        database has ended requests wait, 1.7 seconds at most.
    mode: see `Mode`; its text will do.
    open_paths: paths that answer in every state; `OPEN_PATHS` unless told otherwise.
    config: the project's alembic.ini, or its pyproject.toml. The gate then watches by itself, from the start of the
        application to its end: a child process runs env.py to learn what the code expects, and one connection of
        psycopg's looks at the database. Until there is a first verdict, start-up and requests wait, five seconds at
        most.
    url: the database, as the application's role; otherwise DATABASE_URL, then what env.py says.
    statements: name to SQL, with $1-style parameters, that must run on the schema beside those that follow from
        the models, one `table:NAME` each; None in the place of the SQL takes away those whose names match
        (`{"table:audit.*": None}`).
    interval_s: seconds between two looks at the database while all is well.

    Raises
    ------
    TypeError: both or neither of `watcher` and `config` are given, or `url` or `statements` without `config`.
    ValueError: there is no such mode.
    """

    def __init__(
        self,
        app: App,
        watcher: Watcher | None = None,
        mode: Mode | str = Mode.ENFORCE,
        open_paths: Collection[str] = OPEN_PATHS,
        *,
        config: str | PathLike[str] | None = None,
        url: str | None = None,
        statements: Mapping[str, str | None] | None = None,
        interval_s: float = 1.0,
    ) -> None:
        self.app = app
        self._mode = Mode(mode)
        self._enforced = self._mode is Mode.ENFORCE
        self._open_paths = frozenset([open_paths] if isinstance(open_paths, str) else open_paths)
        self._own: ProjectWatch | None = None
        if config is not None and watcher is None:
            self._own = ProjectWatch(Path(config), url=url, statements=statements or {}, interval_s=interval_s)
            self._watcher: Watcher | ProjectWatch = self._own
        elif watcher is not None and (config, url, statements) == (None, None, None):
            self._watcher = watcher
        else:
            raise TypeError('SchemaGate takes either a watcher, or config="alembic.ini" and what goes with it')

    @property
    def verdict(self) -> Verdict:
        """What is known of the schema now."""
        return self._watcher.verdict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._own is not None and self._mode is not Mode.OFF:
            if scope["type"] == "lifespan":
                await serve_lifespan(self.app, self._own, scope, receive, send)
                return
            # A server without lifespans: the first request starts the watch.
            self._own.start()
            if self._enforced and not self._is_open(scope):
                await self._own.first_verdict()
        if not await self.turns_away(scope):
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
            and not self._is_open(scope)
        )

    async def turns_away(self, scope: Scope) -> bool:
        """As `refuses`, but of a verdict: before the first look at the database has ended a request waits for it.

        A service that has just started knows of no fault, and would name one that is not there.
        """
        watcher = self._watcher
        if isinstance(watcher, Watcher) and watcher.verdict.fault == NOT_CHECKED and self.refuses(scope):
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_WITHIN_S):
                    await watcher.next_check()
        return self.refuses(scope)

    def _is_open(self, scope: Scope) -> bool:
        return _path_within(scope) in self._open_paths

    async def refuse(self, scope: Scope, send: Send) -> None:
        """Answer 503 in the application's place, telling revisions and the command that mends it."""
        if scope["method"] in {"GET", "HEAD"} and prefers_page(scope["headers"]):
            body, headers = self._page(scope)
        else:
            body, headers = self._problem(scope)
        headers += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _problem(self, scope: Scope) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        content = problem(self._watcher.verdict.status) | {"instance": scope["path"]}
        if request_id := scope.get("state", {}).get("request_id"):
            content["request_id"] = request_id
        body = json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()
        return body, [
            (b"content-type", b"application/problem+json"),
            (b"retry-after", str(RETRY_AFTER_S).encode()),
        ]

    def _page(self, scope: Scope) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        verdict = self._watcher.verdict
        language = "fr" if prefers_french(scope["headers"]) else "en"
        interval = str(refresh_interval_s(verdict)).encode()
        return page(verdict, language), [
            *PAGE_HEADERS,
            (b"content-language", language.encode()),
            (b"retry-after", interval),
            # The same as a meta element, and not part of the text that a reader is given.
            (b"refresh", interval),
        ]
