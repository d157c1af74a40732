"""Waiting for a new replica: until it may have requests, or until that is vain."""

import time
from collections.abc import Callable

from stack.deploy.errors import StepFailed
from stack.deploy.slots import Slot
from stack.health import Health, read_health
from stack.service import get

POLL_SECONDS = 0.05


def wait_until_ready(
    slot: Slot,
    ended: Callable[[], str],
    last_words: Callable[[], list[str]],
    *,
    timeout: float,
    give_up: Callable[[], bool],
) -> None:
    """Asks /readyz until that is 200, for `timeout` seconds.

    `ended` says how it has ended, empty while it runs. Raises StepFailed, with what /health says and its last words.
    """
    deadline = time.monotonic() + timeout
    health = Health()
    while not give_up():
        if how := ended():
            raise StepFailed(f"the replica ended with {how} before it was ready", last_words())
        status, _ = get(slot.host, slot.port, "/readyz")
        if status == 200:
            return
        if status is not None:
            health = read_health(get(slot.host, slot.port, "/health")[1])
        if time.monotonic() >= deadline or health.why_waiting_is_vain():
            why = health.why_waiting_is_vain() or f"not ready after {timeout:g} s"
            said = f": /health says {health.describe()}" if health.describe() else ""
            said = said or (": it answers nothing" if status is None else f": /readyz answers {status}")
            raise StepFailed(f"the replica is not ready, {why}{said}", last_words())
        time.sleep(POLL_SECONDS)
    raise StepFailed("its start was given up")
