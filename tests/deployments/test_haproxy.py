"""HAProxy, run as the launcher runs it: what keeps it from starting, and who waits for it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.deploy.haproxy import Haproxy, by_socket
from stack.deploy.haproxy_process import HaproxyProcess, find_haproxy
from stack.deploy.slots import Slots
from stack.errors import StackError
from stack.process import wait_until
from tests.processes import free_port, lacking

PATIENCE_S = 60.0


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HaproxyProcess]:
    try:
        program = find_haproxy()
    except StackError:
        lacking("HAProxy", "apt-get install haproxy")
    process = HaproxyProcess(tmp_path, f"127.0.0.1:{free_port()}", Slots(1), program)
    process.start()
    yield process
    process.stop()


def kill(haproxy: HaproxyProcess) -> None:
    assert haproxy.pid is not None

    os.kill(haproxy.pid, signal.SIGKILL)
    assert wait_until(lambda: haproxy.poll() is not None, PATIENCE_S)


def test_an_order_to_a_proxy_that_was_killed_waits_until_it_is_started_again(haproxy: HaproxyProcess) -> None:
    slot = next(iter(Slots(1)))
    kill(haproxy)
    reviving = threading.Timer(0.5, haproxy.revive)
    reviving.start()
    try:
        Haproxy(by_socket(haproxy.socket, PATIENCE_S)).drain(slot)
        with pytest.raises(StackError, match="does not answer its orders"):
            Haproxy(by_socket(haproxy.socket.with_name("none"))).drain(slot)
    finally:
        reviving.join()
