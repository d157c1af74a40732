"""One log line a request, cheap enough to be written for each.

The lines are like those of every other logger (`observability.logs`); a test compares the two. They are put together
here since the pipe that serves all loggers takes longer for a line than a whole request does. A line holds the route
and never the path, which may hold what a client made up; nothing in it can need escaping.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from taskmanager import __version__

logger = logging.getLogger("taskmanager.requests")

WRITE_EVERY_S = 0.01

# When it ended in seconds of Unix time, then what `RequestLog.write` is told.
_Request = tuple[float, str, str, str | None, int, float, Mapping[str, str] | None]


class RequestLog:
    """Makes and writes the lines of a hundredth of a second together, since one after the other they take half as long
    as each of them among all else that a request needs.

    Parameters
    ----------
    stream: where JSON lines go; None where people read, who get each line through the common pipe.
    environment: what `deployment.environment.name` says.
    """

    def __init__(self, stream: TextIO | None, environment: str = "development") -> None:
        self._stream = stream
        service = {
            "service.name": "taskmanager",
            "service.version": __version__,
            "deployment.environment.name": environment,
        }
        self._end = f"{json.dumps(service)[1:]}\n"
        self._waiting: list[_Request] = []
        self._second = 0
        self._second_text = ""
        self._enabled = logger.isEnabledFor(logging.INFO)

    def write(
        self,
        request_id: str,
        method: str,
        route: str | None,
        status: int,
        duration_s: float,
        *,
        quiet: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Log one request.

        Parameters
        ----------
        route: its path with the parameter's name in it, None where there is none.
        quiet: a probe or a scrape, for those alone who debug.
        trace: what names its trace, where it has one (`logs.trace_fields`).
        """
        if quiet:
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("request", extra=_fields(request_id, method, route, status, duration_s))
            return
        if not self._enabled:
            return
        if self._stream is None:
            logger.info("request", extra=_fields(request_id, method, route, status, duration_s))
            return
        if not self._waiting:
            asyncio.get_running_loop().call_later(WRITE_EVERY_S, self.flush)
        self._waiting.append((time.time(), request_id, method, route, status, duration_s, trace))

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting and self._stream is not None:
            waiting, self._waiting = self._waiting, []
            lines = "".join([self._line(*request) for request in waiting])
            # Who reads the log is gone, or its disk is full: no reason to stop serving.
            with suppress(OSError, ValueError):
                self._stream.write(lines)
                self._stream.flush()

    def _line(
        self,
        ended_at: float,
        request_id: str,
        method: str,
        route: str | None,
        status: int,
        duration_s: float,
        trace: Mapping[str, str] | None,
    ) -> str:
        second = int(ended_at)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        timestamp = f"{self._second_text}.{int((ended_at - second) * 1e6):06d}Z"
        shown_route = f'"{route}"' if route is not None else "null"
        shown_trace = f"{json.dumps(trace)[1:-1]}, " if trace else ""
        return (
            f'{{"http.request.method": "{method}", "http.route": {shown_route}, '
            f'"http.response.status_code": {status}, "duration_s": {duration_s:.6f}, "event": "request", '
            f'"request_id": "{request_id}", "level": "info", "logger": "taskmanager.requests", '
            f'"timestamp": "{timestamp}", {shown_trace}{self._end}'
        )


def _fields(request_id: str, method: str, route: str | None, status: int, duration_s: float) -> dict[str, object]:
    return {
        "request_id": request_id,
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "duration_s": round(duration_s, 6),
    }
