"""What a rollout asks of whatever distributes the requests."""

from dataclasses import dataclass
from typing import Protocol

from stack.deploy.slots import Slot


@dataclass(frozen=True)
class Counts:
    """Since the start of the balancer: `requests` given to a slot, and how many of them `failed` for the client."""

    requests: int = 0
    failed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.requests + other.requests, self.failed + other.failed)

    def since(self, before: "Counts") -> "Counts":
        """What has come since; all of it where the balancer was started anew."""
        if self.requests < before.requests:
            return self
        return Counts(self.requests - before.requests, self.failed - before.failed)

    @property
    def failed_share(self) -> float:
        """From 0 to 1. A failure without a counted request, an unanswered one, counts as one of one."""
        return self.failed / max(self.requests, self.failed, 1)


class Balancer(Protocol):
    """All raise StackError when it does not answer."""

    def admit(self, slot: Slot) -> None:
        """Sends it requests; returns once it gets them."""

    def drain(self, slot: Slot) -> None:
        """Sends it no new ones; those that it has go on."""

    def put_out(self, slot: Slot) -> None:
        """Sends it nothing, whatever comes to stand in it, until it is let in."""

    def in_work(self, slot: Slot) -> int:
        """How many of its requests are not answered yet."""

    def counts(self) -> dict[str, Counts]:
        """By the slot's name."""
