"""Where notifications arrive in tests: an HTTP server and a mail server that keep what they are sent."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar

PATIENCE_S = 30.0

Item = TypeVar("Item")


@dataclass(frozen=True)
class Post:
    """One request, and when it came (`time.monotonic`)."""

    path: str
    headers: dict[str, str]
    text: str
    at: float

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Mail:
    """One message as the server got it: `credentials` are those of AUTH PLAIN, user and password."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    source: str
    credentials: tuple[str, str] | None

    def part(self, subtype: str) -> str:
        """The text of its text/plain or text/html part."""
        found = self.message.get_body((subtype,))
        assert found is not None, self.source
        content: str = found.get_content()
        return content


@dataclass
class Arrived(Generic[Item]):
    """What has arrived so far; written by the server's threads."""

    port: int
    all: list[Item] = field(default_factory=list)

    def wait_for(self, what: Callable[[Item], bool], within_s: float = PATIENCE_S) -> Item:
        """The first that fits; fails when none does in time."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for one in list(self.all):
                if what(one):
                    return one
            time.sleep(0.02)
        raise AssertionError(f"nothing of the kind within {within_s} s; arrived: {self.all}")


@contextmanager
def http_sink(*, answers_first: Sequence[int] = (), port: int = 0) -> Iterator[Arrived[Post]]:
    """Answers 200 to everything, once it has given the answers that are to come first."""
    to_come = list(answers_first)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            arrived.all.append(Post(self.path, dict(self.headers), text, time.monotonic()))
            self.send_response(to_come.pop(0) if to_come else 200)
            self.end_headers()
            # Slack's answer, which Alertmanager looks at.
            self.wfile.write(b"ok")

        def log_message(self, *_arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        arrived: Arrived[Post] = Arrived(server.server_port)
        yield from _serving(server, arrived)


@contextmanager
def mail_sink() -> Iterator[Arrived[Mail]]:
    """Takes every message (RFC 5321), and whoever signs in by AUTH PLAIN (RFC 4616). No TLS."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            credentials: tuple[str, str] | None = None
            sender, recipients = "", []
            self._say("220 sink")
            while line := self.rfile.readline().decode().strip():
                verb, _, rest = line.partition(" ")
                match verb.upper():
                    case "EHLO":
                        self._say("250-sink", "250-8BITMIME", "250 AUTH PLAIN")
                    case "AUTH":
                        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                        credentials = user, password
                        self._say("235 signed in")
                    case "MAIL":
                        sender = rest.partition("<")[2].partition(">")[0]
                        self._say("250 ok")
                    case "RCPT":
                        recipients.append(rest.partition("<")[2].partition(">")[0])
                        self._say("250 ok")
                    case "DATA":
                        self._say("354 go on")
                        source = self._read_data()
                        message = email.message_from_string(source, policy=email.policy.default)
                        assert isinstance(message, EmailMessage)
                        arrived.all.append(Mail(sender, tuple(recipients), message, source, credentials))
                        self._say("250 taken")
                    case "QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("502 not known here")

        def _read_data(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode()) not in (".\r\n", ""):
                lines.append(line.removeprefix(".") if line.startswith("..") else line)
            return "".join(lines)

        def _say(self, *lines: str) -> None:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        arrived: Arrived[Mail] = Arrived(server.server_address[1])
        yield from _serving(server, arrived)


def _serving(server: socketserver.BaseServer, arrived: Arrived[Item]) -> Iterator[Arrived[Item]]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        server.shutdown()
        thread.join()
