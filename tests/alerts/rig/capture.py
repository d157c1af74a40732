"""A webhook that notes what Alertmanager sends, and when it came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

FIRING, RESOLVED = "firing", "resolved"


@dataclass(frozen=True)
class Notice:
    """One alert of one notification. `at` is on the clock of time.monotonic(), in seconds."""

    at: float
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    fingerprint: str

    @property
    def alert(self) -> str:
        return self.labels.get("alertname", "")


class Capture:
    """Listens for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._notices: list[Notice] = []
        self.bodies: list[str] = []
        capture = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                capture._take(time.monotonic(), body.decode())
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def _take(self, at: float, body: str) -> None:
        told: Any = json.loads(body)
        notices = [
            Notice(
                at,
                alert["status"],
                alert["labels"],
                alert["annotations"],
                alert["startsAt"],
                alert["fingerprint"],
            )
            for alert in told["alerts"]
        ]
        with self._came:
            self.bodies.append(body)
            self._notices += notices
            self._came.notify_all()

    @property
    def notices(self) -> list[Notice]:
        """All that came, in order."""
        with self._came:
            return list(self._notices)

    def first(self, wanted: Callable[[Notice], bool], deadline: float) -> Notice | None:
        """The first notice that is wanted, of those that are there and those that come; None where none does until a
        second of time.monotonic()."""
        return self._wait(lambda notices: next(filter(wanted, notices), None), deadline)

    def last_of(self, fingerprint: str, status: str, deadline: float) -> Notice | None:
        """The last notice of an alert, once it has that status; None where it does not get it."""

        def last(notices: Sequence[Notice]) -> Notice | None:
            of_alert = [notice for notice in notices if notice.fingerprint == fingerprint]
            return of_alert[-1] if of_alert and of_alert[-1].status == status else None

        return self._wait(last, deadline)

    def _wait(self, find: Callable[[Sequence[Notice]], Notice | None], deadline: float) -> Notice | None:
        with self._came:
            while (found := find(self._notices)) is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return None
                self._came.wait(remaining)
            return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
