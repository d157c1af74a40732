"""Readers and a writer that work on a table while it is migrated, and note what happened to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import psycopg

Step = Callable[[psycopg.Connection[Any], int], object]

PAUSE_S = 0.005


def read(connection: psycopg.Connection[Any], number: int) -> object:
    return connection.execute("SELECT title, sold FROM book WHERE id = %s", (number % 1000 + 1,)).fetchone()


def write(connection: psycopg.Connection[Any], number: int) -> object:
    with connection.transaction():
        connection.execute("UPDATE book SET sold = sold + 1 WHERE id = %s", (number % 1000 + 1,))
        return connection.execute("INSERT INTO book (title) VALUES ('Persuasion')")


class Traffic:
    """Threads that repeat a step each, on a session each, for the length of a `with` block.

    `done` counts steps, `errors` names what PostgreSQL refused, `longest_s` is the longest step.
    """

    def __init__(self, url: str, *steps: Step) -> None:
        self.done = 0
        self.errors: list[str] = []
        self.longest_s = 0.0
        self._url = url
        self._ended = threading.Event()
        self._noting = threading.Lock()
        self._threads = [threading.Thread(target=self._repeat, args=(step,), daemon=True) for step in steps]

    def _repeat(self, step: Step) -> None:
        number = 0
        try:
            with psycopg.connect(
                self._url, autocommit=True, application_name="traffic", prepare_threshold=None
            ) as connection:
                while not self._ended.wait(PAUSE_S):
                    began = time.monotonic()
                    step(connection, number)
                    number += 1
                    self._note(time.monotonic() - began)
        except psycopg.Error as error:
            with self._noting:
                self.errors.append(f"{error.sqlstate or type(error).__name__}: {str(error).splitlines()[0]}")

    def _note(self, took_s: float) -> None:
        with self._noting:
            self.done += 1
            self.longest_s = max(self.longest_s, took_s)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=30)
