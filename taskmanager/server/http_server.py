"""uvicorn's server with connections of ours (`http_connection`), and an end that cuts nobody off.

SIGTERM drains: /readyz turns 503 while requests are still served, until none have come for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from taskmanager.server.http_connection import Connection
from taskmanager.server.refusals import NoRoom, OnRefusal

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 5

# How long a service goes on serving after SIGTERM: until no request has come for this long, since whoever sends
# them has learned of it, and at most for so long.
DRAIN_QUIET_S = 0.5
DRAIN_AT_MOST_S = 5.0
# What is still in work afterwards. Together less than the 10 s after which `docker stop` kills.
GRACE_S = 3


class Server(uvicorn.Server):
    """Serve an application until SIGTERM or SIGINT, and drain before the end.

    Parameters
    ----------
    app: ASGI's.
    is_full: whether there is room for no more requests but those that are always answered.
    refused, no_room: see `OnRefusal` and `NoRoom`.
    drain: called when SIGTERM has come: /readyz is 503 from now on.
    """

    def __init__(
        self,
        app: Any,
        *,
        refused: OnRefusal,
        is_full: Callable[[], bool],
        no_room: NoRoom,
        drain: Callable[[], None],
    ) -> None:
        callbacks = {
            "refused": staticmethod(refused),
            "is_full": staticmethod(is_full),
            "no_room": staticmethod(no_room),
        }
        self._connection: Any = type("Connection", (Connection,), callbacks)
        config = uvicorn.Config(
            app,
            http=self._connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._drain = drain
        self._draining = False

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # called ten times a second
            self._end_slow_connections()
        return await super().on_tick(counter)

    def _end_slow_connections(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.end_if_too_slow(now)

    def _connections(self) -> list[Connection]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Connection)]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._draining and not self.force_exit:
            await self._serve_on_until_quiet()
        for connection in self._connections():
            connection.wait_no_longer()
        await super().shutdown(sockets)

    async def _serve_on_until_quiet(self) -> None:
        logger.info("draining: not ready for new clients, serving those that still come")
        self._connection.draining = True
        began = quiet_since = time.monotonic()
        served = self.server_state.total_requests
        while time.monotonic() - quiet_since < DRAIN_QUIET_S and time.monotonic() - began < DRAIN_AT_MOST_S:
            await asyncio.sleep(0.05)
            self._end_slow_connections()
            if self.server_state.total_requests != served or any(c.at_work for c in self._connections()):
                served, quiet_since = self.server_state.total_requests, time.monotonic()
            if self.force_exit:
                return

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._draining:
            self._draining = True
            self._drain()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again in the end, so that a service that stopped as told seems killed."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)
