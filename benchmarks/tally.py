"""What became of the requests of a load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What became of the requests. Latencies are in ms; `seconds` is how long new requests were sent."""

    seconds: float
    sent: int = 0
    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    refused_without_retry_after: int = 0
    other_statuses: Counter[int] = field(default_factory=Counter)
    connections_broken: int = 0
    generator_cpu_share: float = 0.0
    late_ms: list[float] = field(default_factory=list)
    """How late each tick of the open loop was: the generator's own fault, contained in the latencies."""

    @property
    def rate(self) -> float:
        """Answers that are no refusals, a second."""
        return len(self.answered_ms) / self.seconds

    @property
    def sent_rate(self) -> float:
        return self.sent / self.seconds

    @property
    def lost(self) -> int:
        """Requests that were sent and never answered."""
        return self.sent - len(self.answered_ms) - len(self.refused_ms) - self.other_statuses.total()
