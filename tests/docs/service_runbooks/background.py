"""What goes on beside a scene, in threads: clients, jobs, somebody who kills a process again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx

from tests import plain_http

# Between two requests of a client: a few clients are no load for a service that is well.
PAUSE_S = 0.2


@contextmanager
def repeated(*works: Callable[[threading.Event], object]) -> Iterator[Callable[[], None]]:
    """Do each work again and again, in a thread of its own, until the context ends or what it yields is called.

    A work gets the event of that end, for its pauses.
    """
    ended = threading.Event()

    def go_on(work: Callable[[threading.Event], object]) -> None:
        while not ended.is_set():
            work(ended)

    threads = [threading.Thread(target=go_on, args=[work]) for work in works]
    for thread in threads:
        thread.start()

    def end() -> None:
        ended.set()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()

    try:
        yield end
    finally:
        end()


@contextmanager
def clients(
    address: str, paths: Sequence[str], count: int = 1, method: str = "GET", **options: object
) -> Iterator[None]:
    """Clients that each ask one of the paths again and again, whatever they are told."""

    def asking(path: str) -> Callable[[threading.Event], object]:
        def ask(ended: threading.Event) -> None:
            with suppress(httpx.TransportError):
                plain_http.request(method, address + path, timeout=5, **options)  # type: ignore[arg-type]
            ended.wait(PAUSE_S)

        return ask

    with repeated(*(asking(paths[number % len(paths)]) for number in range(count))):
        yield
