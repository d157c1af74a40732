"""A `stack up` in a process of its own, with its service or one that stands in for it."""

import http.client
import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.process import is_running, wait_until

PATIENCE = 60.0
LAUNCH = """
import signal, sys
# Whoever runs the tests under nohup hands down that SIGHUP is ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pathlib import Path
from stack import cli, up
port, data, timeout, options, *command = sys.argv[1:]
own = up.Options
up.Options = lambda host, port, data, **rest: own(
    host, port, data, command=command or None, ready_timeout=float(timeout), **rest
)
sys.exit(cli.main(["up", "--port", port, "--data", data, *options.split()]))
"""
STAND_IN = """
import http.server, json, os, sys
health = json.loads(os.environ.get("HEALTH", "[]"))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(os.environ, PID=os.getpid())).encode()
        if self.path == "/health" and health:
            body = json.dumps(health.pop(0) if len(health) > 1 else health[0]).encode()
        self.send_response(503 if self.path in sys.argv[2:] else 200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class Launched:
    """A `stack up` in a process of its own, with its output in files."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> dict[str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        told: dict[str, str] = json.loads(connection.getresponse().read())
        connection.close()
        return told

    def wait_ready(self) -> None:
        assert wait_until(lambda: "Ctrl-C stops everything" in self.output or self.process.poll() is not None, PATIENCE)
        assert self.process.poll() is None, self.output

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def family(self) -> list[int]:
        return [member.pid for member in psutil.Process(self.process.pid).children(recursive=True)]


Launcher = Callable[..., Launched]


def gone(pids: list[int]) -> bool:
    return wait_until(lambda: not any(map(is_running, pids)), PATIENCE)
