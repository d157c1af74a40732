"""A server that takes what a service sends elsewhere, and keeps every byte of it."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Capture:
    """What a server was sent.

    `answer` is the status that it answers with. `bodies` are unpacked, `heads` are the requests' lines and headers.
    """

    port: int
    answer: int = 200
    bodies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"http://public4711@127.0.0.1:{self.port}/42"

    @property
    def everything(self) -> str:
        """All that was sent, headers too, but for the address that it was sent to."""
        sent = "\n".join(self.heads) + b"\n".join(self.bodies).decode(errors="replace")
        return sent.replace(f"127.0.0.1:{self.port}", "capture")

    def events(self) -> list[dict[str, Any]]:
        """Every event of Sentry's; fails where an envelope holds anything else."""
        found = []
        for body in self.bodies:
            _, *lines = body.rstrip(b"\n").split(b"\n")
            assert len(lines) == 2, body
            header, event = map(json.loads, lines)
            assert header["type"] == "event"
            found.append(event)
        return found

    def wait_for_events(self, number: int, within_s: float = 10.0) -> list[dict[str, Any]]:
        """The events once there are so many; fails where they do not come."""
        deadline = time.monotonic() + within_s
        while len(self.bodies) < number:
            assert time.monotonic() < deadline, f"{len(self.bodies)} of {number} events: {self.bodies}"
            time.sleep(0.02)
        return self.events()

    def wait_for_event(self, code: str, within_s: float = 10.0) -> dict[str, Any]:
        """The first event with this code."""
        deadline = time.monotonic() + within_s
        while not (found := [event for event in self.events() if event["tags"].get("code") == code]):
            assert time.monotonic() < deadline, self.bodies
            time.sleep(0.02)
        return found[0]


@contextmanager
def capture_server() -> Iterator[Capture]:
    """A server on a free port, until the end of the `with` block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            capture.heads.append(f"{self.requestline}\n{self.headers}")
            capture.bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(capture.answer)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    capture = Capture(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def variables_of(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every local variable in an event, with what is told of it."""
    return [
        pair
        for exception in event["exception"]["values"]
        for frame in exception.get("stacktrace", {}).get("frames", ())
        for pair in frame.get("vars", {}).items()
    ]
