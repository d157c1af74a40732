"""One log line a request, cheap enough to be written for each.

The lines are like those of every other logger (`observability.logs`); a test compares the two. They are put together
here since the pipe that serves all loggers takes longer for a line than a whole request does. A line holds the route
and never the path, which may hold what a client made up; nothing in it can need escaping.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from taskmanager import __version__

logger = logging.getLogger("taskmanager.requests")

# When it ended in seconds of Unix time; its id, method, route, status and duration in seconds; what names its trace,
# where it has one (`logs.trace_fields`). The route is the path with the parameter's name in it, None where there is
# none.
Request = tuple[float, str, str, str | None, int, float, Mapping[str, str] | None]


class RequestLog:
    """Writes the lines of requests.

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
        # To make the parts of a line that are always the same anew for each takes a third of its time.
        self._heads: dict[tuple[str, str | None, int], str] = {}
        self._end = f"{json.dumps(service)[1:]}\n"
        self._second = 0
        self._second_text = ""
        self._enabled = logger.isEnabledFor(logging.INFO)

    @property
    def writes_together(self) -> bool:
        """Whether it is to be given many requests at once; otherwise each while its trace is the current one."""
        return self._stream is not None

    def write(self, requests: Sequence[Request]) -> None:
        """Log requests, in this order."""
        if not self._enabled:
            return
        if self._stream is None:
            for request in requests:
                logger.info("request", extra=_fields(request))
            return
        # Who reads the log is gone, or its disk is full: no reason to stop serving.
        with suppress(OSError, ValueError):
            self._stream.write(self._lines(requests))
            self._stream.flush()

    @staticmethod
    def write_quiet(request: Request) -> None:
        """Log a probe or a scrape, for those alone who debug; while its trace is the current one."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("request", extra=_fields(request))

    def _lines(self, requests: Sequence[Request]) -> str:
        heads, end = self._heads, self._end
        lines = []
        for ended_at, request_id, method, route, status, duration_s, trace in requests:
            head = heads.get((method, route, status)) or self._new_head(method, route, status)
            second = int(ended_at)
            if second != self._second:
                self._second = second
                self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            shown_trace = f"{json.dumps(trace)[1:-1]}, " if trace else ""
            lines.append(
                f'{head}{duration_s:.6f}, "event": "request", "request_id": "{request_id}", "level": "info", '
                f'"logger": "taskmanager.requests", "timestamp": "{self._second_text}'
                f'.{int((ended_at - second) * 1e6):06d}Z", {shown_trace}{end}'
            )
        return "".join(lines)

    def _new_head(self, method: str, route: str | None, status: int) -> str:
        shown_route = f'"{route}"' if route is not None else "null"
        head = self._heads[method, route, status] = (
            f'{{"http.request.method": "{method}", "http.route": {shown_route}, "http.response.status_code": {status}, '
            '"duration_s": '
        )
        return head


def _fields(request: Request) -> dict[str, object]:
    _, request_id, method, route, status, duration_s, _ = request
    return {
        "request_id": request_id,
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "duration_s": round(duration_s, 6),
    }
