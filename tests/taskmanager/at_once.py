"""Many requests at the same moment, from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def at_once(number: int, call: Callable[[int], Result]) -> list[Result]:
    """Call `call(0)` to `call(number - 1)`, each in a thread of its own, none before all of them are ready."""
    ready = threading.Barrier(number)

    def wait_and_call(index: int) -> Result:
        ready.wait(timeout=30)
        return call(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(wait_and_call, range(number)))
