"""What asking another program over HTTP makes of one that answers badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskmanager.incidents import web


@contextmanager
def _answering(head: bytes, *, stays: bool) -> Iterator[str]:
    """A server that sends this to the first who asks, and then stays silent or resets the connection."""
    done = threading.Event()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head)
            if stays:
                done.wait(20)
            else:
                # With no time to linger, closing is a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("stays", "told"), [(True, "no answer in time"), (False, "connection reset by peer|IncompleteRead")]
)
def test_an_answer_that_breaks_off_is_none_whatever_its_status(status: str, stays: bool, told: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\n{{".encode()

    with _answering(head, stays=stays) as url, pytest.raises(web.Unreachable, match=told):
        web.ask(url, timeout_s=0.5)
