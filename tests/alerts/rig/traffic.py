"""Clients behind what balances them: a replica that says it is not ready gets no requests, unless that is wanted.

What they send bears marks that look personal, which must be found in no notification.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

TITLE_MARK = "prescription-of-ms-okonkwo"
EMAIL_MARK = "adaeze.okonkwo@example.org"
MARKS = (TITLE_MARK, EMAIL_MARK)

REQUEST_TIMEOUT_S = 4.0
PROBE_EVERY_S = 0.3
PROBE_TIMEOUT_S = 0.5


class Traffic:
    """Asks for as long as the `with` block lasts.

    Parameters
    ----------
    ports: the replicas', asked for at each look, since they may change.
    clients: each asks one thing after the other.
    pause_s: between two requests of a client.
    to_all: whether readiness does not matter.
    """

    def __init__(self, ports: Callable[[], Sequence[int]], clients: int, pause_s: float, *, to_all: bool) -> None:
        self.answers: Counter[int | str] = Counter()
        self._ports = ports
        self._pause_s = pause_s
        self._to_all = to_all
        self._ready: Sequence[int] = ()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._probe, daemon=True)]
        self._threads += [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(clients)]

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def _probe(self) -> None:
        while not self._ended.is_set():
            ports = self._ports()
            self._ready = ports if self._to_all else [port for port in ports if is_ready(port)]
            self._ended.wait(PROBE_EVERY_S)

    def _ask(self, number: int) -> None:
        choose = random.Random(number)  # noqa: S311  requests, and no secrets
        tasks: list[int] = []
        while not self._ended.wait(self._pause_s * (0.5 + choose.random())):
            ready = self._ready
            if not ready:
                continue
            method, path, body = _request(choose, tasks)
            try:
                status, answer = request(choose.choice(ready), method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                continue
            self.answers[status] += 1
            if status == http.client.CREATED:
                tasks.append(json.loads(answer)["id"])

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        deadline = time.monotonic() + REQUEST_TIMEOUT_S + 1
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


def _request(choose: random.Random, tasks: list[int]) -> tuple[str, str, str | None]:
    dice = choose.random()
    if not tasks or dice < 0.2:
        text = {"title": f"{TITLE_MARK} {choose.random()}", "description": f"write to {EMAIL_MARK}"}
        return "POST", "/tasks", json.dumps(text)
    if dice < 0.4:
        return "PUT", f"/tasks/{choose.choice(tasks)}", json.dumps({"title": TITLE_MARK, "status": "done"})
    if dice < 0.7:
        return "GET", f"/tasks/{choose.choice(tasks)}", None
    return "GET", "/tasks?limit=5", None


def request(
    port: int, method: str, path: str, body: str | None = None, timeout_s: float = REQUEST_TIMEOUT_S
) -> tuple[int, bytes]:
    """One request on a connection of its own. Raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def is_ready(port: int) -> bool:
    """What a load balancer asks a replica."""
    try:
        return request(port, "GET", "/readyz", timeout_s=PROBE_TIMEOUT_S)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
