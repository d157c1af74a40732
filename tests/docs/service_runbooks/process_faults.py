"""What goes wrong with the service's processes, and on the way to its clients and its database."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.docs.service_runbooks.background import clients, repeated
from tests.docs.service_runbooks.fault import Heal
from tests.docs.service_runbooks.stage import DATABASE, Stage
from tests.taskmanager.postgres_proxy import PostgresProxy

_BODY = b'{"title": "a"}'
_HEAD = b"POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)

_BEGINNINGS = 'process_start_time_seconds{job="taskmanager"}'


@contextmanager
def killed(stage: Stage) -> Iterator[None]:
    stage.service.stop(signal.SIGKILL)
    yield


@contextmanager
def hung(stage: Stage) -> Iterator[None]:
    stage.service.process.send_signal(signal.SIGSTOP)
    yield


@contextmanager
def slow_clients(stage: Stage) -> Iterator[Heal]:
    """Clients that take three seconds to send a body, beside one that does not."""

    def send_slowly(ended: threading.Event) -> None:
        with socket.create_connection(("127.0.0.1", stage.ports.service), timeout=30) as connection:
            connection.sendall(_HEAD)
            if not ended.wait(3):
                connection.sendall(_BODY)
                connection.recv(4096)

    with clients(stage.service.url, ["/tasks?limit=1"]), repeated(*[send_slowly] * 4) as heal:
        yield heal


@contextmanager
def throttled(stage: Stage) -> Iterator[Heal]:
    """The process gets the CPU for a moment each second, as one does that has used up its quota."""
    process = stage.service.process

    def throttle(ended: threading.Event) -> None:
        process.send_signal(signal.SIGSTOP)
        ended.wait(0.8)
        process.send_signal(signal.SIGCONT)
        ended.wait(0.4)

    with repeated(throttle) as heal:
        yield heal


@contextmanager
def killed_again_and_again(stage: Stage) -> Iterator[Heal]:
    """A supervisor starts the service, and for want of memory the kernel kills it."""
    seen = set(stage.ask(_BEGINNINGS))

    def kill_and_start(ended: threading.Event) -> None:
        stage.service.stop(signal.SIGKILL)
        stage.service = stage.serve(stage.ports.service)
        while not ended.wait(0.1):
            if new := set(stage.ask(_BEGINNINGS)) - seen:
                seen.update(new)
                return

    with repeated(kill_and_start) as heal:
        yield heal


@contextmanager
def replica_killed(stage: Stage) -> Iterator[None]:
    stage.replica.stop(signal.SIGKILL)
    yield


@contextmanager
def replica_misconfigured(stage: Stage) -> Iterator[None]:
    stage.replica.stop(signal.SIGKILL)
    nobody_there = stage.database.app_url.rpartition("@")[0] + f"@127.0.0.1:1/{DATABASE}"
    stage.replica = stage.serve(stage.ports.replica, DATABASE_URL=nobody_there)
    stage.replica.wait_for("/livez", 200)
    yield


@contextmanager
def replica_cut_off(stage: Stage) -> Iterator[Heal]:
    """Packets between one replica and the database are dropped without a word."""
    with PostgresProxy(stage.database) as proxy:
        stage.replica.stop(signal.SIGKILL)
        stage.replica = stage.serve(stage.ports.replica, DATABASE_URL=proxy.database.app_url)
        stage.replica.wait_for("/readyz", 200)
        proxy.fall_silent()
        yield proxy.restore
        stage.replica.stop(signal.SIGKILL)
