"""`taskmanager backup --every`: the scheduler, and beside it /metrics and /livez.

They tell sizes and times and nothing of any task, so they ask for no key; publish the port to whoever scrapes it alone.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from taskmanager.backup.errors import BackupError
from taskmanager.backup.interruption import Interrupted
from taskmanager.backup.metrics import new_registry
from taskmanager.backup.schedule import Schedule, Scheduler
from taskmanager.backup.taking import Request
from taskmanager.observability import logs
from taskmanager.settings import Settings

logger = logging.getLogger(__name__)

_LONGEST_REQUEST_S = 5.0


def serve(request: Request, schedule: Schedule, host: str, port: int, settings: Settings) -> int:
    """Take backups until SIGTERM or Ctrl-C, and return the exit status.

    Raises
    ------
    BackupError: the address or the folder cannot be used.
    """
    logs.configure(
        as_json=settings.logs_as_json, level=settings.log_level, stream=sys.stdout, environment=settings.env.value
    )
    request.folder.make()
    scheduler = Scheduler(request, schedule)
    server = _listen(host, port, new_registry(scheduler))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    logger.info(
        "backups: one every %d s into %s; listening on http://%s:%d",
        schedule.every_s,
        request.folder.path,
        host,
        server.server_address[1],
    )
    try:
        scheduler.run()
    except Interrupted as interrupted:
        logger.info("ended by %s", interrupted)
    finally:
        server.shutdown()
        server.server_close()
    return 0


def _listen(host: str, port: int, registry: CollectorRegistry) -> ThreadingHTTPServer:
    answers: dict[str, Callable[[], tuple[str, bytes]]] = {
        "/livez": lambda: ("text/plain; charset=utf-8", b"alive\n"),
        "/metrics": lambda: (CONTENT_TYPE_LATEST, generate_latest(registry)),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = _LONGEST_REQUEST_S
        server_version, sys_version = "taskmanager", ""

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(404)
                return
            kind, body = answer()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: who asks is told by address."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    try:
        return Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise BackupError(
            f"cannot listen on {host}:{port}: {why}", solution="choose another address with --listen"
        ) from None
