"""A TCP proxy before PostgreSQL that can vanish as a cable does: from then on not even the kernels answer each other.

A proxy that merely stops to forward goes on acknowledging what it is sent, keepalive probes included, so that neither
end could ever tell. A filter on its sockets that drops every packet takes that away.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.processes import lacking

_SO_ATTACH_FILTER = 26  # Linux's; Python's socket module does not name it
_RETURN_0 = struct.pack("@HBBI", 0x06, 0, 0, 0)  # "BPF_RET | BPF_K, 0": of each packet keep nothing


def _drop_all_that_comes(end: socket.socket) -> None:
    program = ctypes.create_string_buffer(_RETURN_0)
    end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))


def _wait_until_acknowledged(end: socket.socket) -> None:
    # What this side had to send again and again would be a sign of life.
    deadline = time.monotonic() + 5
    while struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, b"\0" * 4))[0] and time.monotonic() < deadline:
        time.sleep(0.002)


class BlackHole:
    """Forwards to the server of `url` until `cut`; `self.url` leads through it. For the length of a `with` block."""

    def __init__(self, url: str) -> None:
        if sys.platform != "linux":
            lacking("a network that can be cut without privileges", "run this on Linux")
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 5432))
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.replace(f"@{parts.hostname}:{parts.port}/", f"@127.0.0.1:{port}/")
        self._ends: list[socket.socket] = []
        self._changing = threading.Lock()
        self._is_cut = False
        self._run(self._accept)

    def cut(self) -> None:
        """Let nothing through in either direction any more, not even that there is nobody."""
        with self._changing:
            self._is_cut = True
            for end in self._ends:
                with contextlib.suppress(OSError):
                    _wait_until_acknowledged(end)
                    _drop_all_that_comes(end)

    def _run(self, target: object, *arguments: socket.socket) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
            except OSError:
                return
            with self._changing:
                self._ends += (client, server)
                if self._is_cut:
                    _drop_all_that_comes(client)
                    _drop_all_that_comes(server)
            self._run(self._pump, client, server)
            self._run(self._pump, server, client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._changing:
                    if self._is_cut:
                        return
                    sink.sendall(data)
        with self._changing:
            if self._is_cut:
                return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
