"""Scrapes /metrics while a service is measured, as Prometheus does."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from benchmarks.failures import WrongAnswer
from benchmarks.loopback import Connection

EVERY_S = 1.0
TIMEOUT_S = 5.0


class Scraper:
    """Scrapes once a second while its `with` block lasts, at once for the first time.

    `taken_ms` has how long each scrape took.

    Parameters
    ----------
    port: the service's.
    headers: a key that may read metrics.
    """

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        self._headers = headers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self._error: Exception | None = None
        self.taken_ms: list[float] = []

    def _run(self) -> None:
        try:
            with Connection(self._port, self._headers, TIMEOUT_S) as connection:
                due = time.monotonic()
                while not self._stop.wait(max(0.0, due - time.monotonic())):
                    began = time.monotonic()
                    scrape(connection)
                    self.taken_ms.append((time.monotonic() - began) * 1000)
                    due += EVERY_S
        except (OSError, WrongAnswer) as error:
            self._error = error

    @property
    def running(self) -> bool:
        """False once a scrape has failed."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises WrongAnswer where a scrape failed: what was measured since was not scraped."""
        self._stop.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise WrongAnswer(f"/metrics could not be scraped under load: {self._error!r}")


def scrape(connection: Connection) -> str:
    """What /metrics tells. Raises WrongAnswer where it is refused, OSError where the connection breaks."""
    answer = connection.get("/metrics")
    if answer.status != 200:
        raise WrongAnswer(f"/metrics was answered with {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return answer.body.decode()
