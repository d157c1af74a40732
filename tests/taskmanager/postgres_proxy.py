"""A TCP proxy before PostgreSQL that can fall silent or break off, as a network does."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.databases import Database


class PostgresProxy:
    """Forwards to a database's server until it is told otherwise, for as long as the `with` block lasts."""

    def __init__(self, database: Database) -> None:
        parts = urlsplit(database.app_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._delay_s = 0.0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.database = dataclasses.replace(
            database, app_url=self._through(database.app_url), migrator_url=self._through(database.migrator_url)
        )
        self._run(self._accept)

    def fall_silent(self) -> None:
        """Accept and keep every connection, and let not one more byte through."""
        self._flowing.clear()

    def cut(self) -> None:
        """Break off every connection and refuse new ones."""
        self._refusing = True
        self._close_connections()

    def slow_down(self, seconds: float) -> None:
        """Let everything through that much later, each way."""
        self._delay_s = seconds

    def restore(self) -> None:
        self._refusing = False
        self._flowing.set()

    def _through(self, url: str) -> str:
        host, port = self._server
        return url.replace(f"@{host}:{port}/", f"@127.0.0.1:{self.port}/")

    def _run(self, target: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
            else:
                self._sockets.append(client)
                self._run(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        self._sockets.append(server)
        self._run(self._pump, client, server)
        self._run(self._pump, server, client)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flowing.wait()
                time.sleep(self._delay_s)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _close_connections(self) -> None:
        while self._sockets:
            end = self._sockets.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self._close_connections()
        for thread in list(self._threads):
            thread.join(timeout=5)
        self._close_connections()
